"""
This module makes faces unrecognisable, for pictures that are shown to others.

The detector is scikit-image's cascade of local binary patterns (Viola and Jones, CVPR 2001; Liao et al., ICB 2007),
whose trained file is part of the package: nothing is downloaded. It knows faces seen from the front; those turned away
or half covered it may miss.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np

__all__ = ["blur_faces", "find_faces"]

LONGEST_SIDE = 640  # pixels, in which faces are looked for
SMALLEST_FACE, LARGEST_FACE = 24, 320  # pixels of those
SCALE, STEP, NEIGHBORS = 1.1, 1.5, 3  # of the search: on the side of finding too much
MARGIN = 0.25  # of the face's side, all around: hair and chin
CELLS = 5  # across a face: too few to tell who it is


@cache
def _detector() -> Any:
    try:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "blurring faces needs scikit-image: pip install 'kfashion_d2[faces]'", name=error.name
        ) from error
    return Cascade(lbp_frontal_face_cascade_filename())


def find_faces(image: np.ndarray) -> list[tuple[int, int, int, int]]:
    """
    Find faces in a picture.

    Args:
        image: uint8 (H, W, 3) RGB.

    Returns:
        x0, y0, x1, y1 of each face, in pixels.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
    """
    detector = _detector()
    height, width = image.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    side = (max(round(width * scale), 1), max(round(height * scale), 1))
    if min(side) < SMALLEST_FACE:
        return []
    small = cv2.resize(image, side, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    detections = detector.detect_multi_scale(
        img=small,
        scale_factor=SCALE,
        step_ratio=STEP,
        min_size=(SMALLEST_FACE, SMALLEST_FACE),
        max_size=(LARGEST_FACE, LARGEST_FACE),
        min_neighbor_number=NEIGHBORS,
    )
    boxes = [(face["c"], face["r"], face["c"] + face["width"], face["r"] + face["height"]) for face in detections]
    return [tuple(round(value / scale) for value in box) for box in boxes]  # type: ignore[misc]


def blur_faces(image: np.ndarray) -> np.ndarray:
    """
    Make the faces in a picture unrecognisable.

    Args:
        image: uint8 (H, W, 3) RGB.

    Returns:
        A copy in which each face that was found is a few squares of its mean colours.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
    """
    image = image.copy()
    height, width = image.shape[:2]
    for x0, y0, x1, y1 in find_faces(image):
        margin = round(MARGIN * (x1 - x0))
        rows = slice(max(y0 - margin, 0), min(y1 + margin, height))
        columns = slice(max(x0 - margin, 0), min(x1 + margin, width))
        face = image[rows, columns]
        if face.size:
            cells = cv2.resize(face, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
            image[rows, columns] = cv2.resize(cells, face.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return image
