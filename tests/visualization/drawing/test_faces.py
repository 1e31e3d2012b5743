import sys

import cv2
import numpy as np
import pytest

from kfashion_d2.visualization.drawing import faces


def test_a_face_is_found_and_only_it_changes():
    data = pytest.importorskip("skimage.data")
    photo = (
        data.astronaut()
    )  # NASA's portrait of Eileen Collins, in the public domain; her face is at (170-275, 65-190)
    x0, y0, x1, y1 = next(
        face for face in faces.find_faces(photo) if face[0] < 222 < face[2] and face[1] < 120 < face[3]
    )
    assert 60 < x1 - x0 < 140 and 60 < y1 - y0 < 140
    before = photo.copy()
    blurred = faces.blur_faces(photo)
    assert np.array_equal(photo, before)
    inside = (slice(y0, y1), slice(x0, x1))
    # Edges are what tells a face; hardly any are left.
    edges = [cv2.Laplacian(image[inside], cv2.CV_64F).var() for image in (photo, blurred)]
    assert edges[1] < edges[0] / 2
    assert len(np.unique(blurred[inside].reshape(-1, 3), axis=0)) <= faces.CELLS**2
    assert np.array_equal(blurred[-40:], photo[-40:])


def test_no_face_no_change():
    data = pytest.importorskip("skimage.data")
    for image in (data.coffee(), np.zeros((300, 200, 3), dtype=np.uint8), np.zeros((5, 900, 3), dtype=np.uint8)):
        assert np.array_equal(faces.blur_faces(image), image)


def test_without_the_detector_it_refuses(monkeypatch):
    faces._detector.cache_clear()
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModuleNotFoundError, match=r"kfashion_d2\[faces\]"):
        faces.blur_faces(np.zeros((100, 100, 3), dtype=np.uint8))
