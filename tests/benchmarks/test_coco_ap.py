import argparse

import numpy as np
import pycocotools.mask as mask_util
import pytest

from benchmarks import coco_ap
from benchmarks.objects import draw_masks


def test_masks_are_drawn_into_their_boxes():
    gt, dt = draw_masks(200)
    assert set(np.bincount(gt.images)) == {1, 2, 3, 4} and set(np.bincount(dt.images)) == set(range(4, 11))
    for objects in (gt, dt):
        assert set(map(tuple, objects.masks.sizes)) == {(1066, 800)}
        boxes = np.array([mask_util.toBbox(mask) for mask in objects.masks])
        corners, mask_corners = (np.hstack([b[:, :2], b[:, :2] + b[:, 2:]]) for b in (objects.boxes, boxes))
        assert np.abs(corners.clip(0, [800, 1066] * 2) - mask_corners).max() < 3
        assert 0.4 < np.median(objects.areas / boxes[:, 2:].prod(axis=1)) < 0.9
    again, _ = draw_masks(200)
    assert again.masks.counts == gt.masks.counts


@pytest.mark.parametrize("options", [["--masks"], ["--detections", "6"]])
def test_the_table_compares_every_package(options):
    parser = argparse.ArgumentParser()
    coco_ap.add_arguments(parser)
    text = coco_ap.run(parser.parse_args([*options, "--num", "30", "--repeats", "1"]))
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()[3:]}
    assert list(rows) == ["kfashion_d2", "pycocotools", "hotcoco"]
    aps = {row[3] for row in rows.values()}
    assert len(aps) == 1 and 0.1 < float(aps.pop()) < 0.6
    assert all(float(row[4]) < 1e-12 for row in rows.values())
