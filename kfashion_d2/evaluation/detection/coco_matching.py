"""
This module has COCO's view of a match, for saved predictions: garments of unknown class excuse detections and are none
to find.

Shapes: as in predictions/core.py; D' detections that are looked at.
"""

from __future__ import annotations

import numpy as np

from ..predictions.core import Predictions
from .matching import match_images

__all__ = ["match_known", "on_unknown"]


def match_known(predictions: Predictions, iou_threshold: float, rows: np.ndarray | None = None) -> np.ndarray:
    """
    Match detections to garments of known class, by class.

    Args:
        rows: int64 (D',), ascending: the detections to look at; None: all.

    Returns:
        int64 (G,): the position among `rows` of the garment's detection, or -1.
    """
    p = predictions
    rows = np.arange(p.num_detections) if rows is None else rows
    # A class that no detection has keeps the others out.
    truth = np.where(p.gt_classes < 0, -2, p.gt_classes.astype(np.int64))
    return match_images(
        np.searchsorted(rows, p.det_offsets),
        p.det_boxes[rows],
        p.det_scores[rows],
        p.det_classes[rows].astype(np.int64),
        p.gt_offsets,
        p.gt_boxes,
        truth,
        iou_threshold,
    )


def on_unknown(predictions: Predictions, iou_threshold: float, rows: np.ndarray | None = None) -> np.ndarray:
    """
    Say whether a detection that finds nothing is excused: at least this share of it lies on a garment of unknown class
    whose part has its class, which is COCO's overlap with a crowd region.

    Args:
        rows: as of :func:`match_known`.

    Returns:
        bool (D',).
    """
    p, class_parts = predictions, predictions.info.class_parts
    rows = np.arange(p.num_detections) if rows is None else rows
    excused = np.zeros(len(rows), dtype=bool)
    unknown = np.flatnonzero(p.gt_classes < 0)
    if class_parts is None or not len(unknown):
        return excused
    offsets = np.searchsorted(rows, p.det_offsets)
    images = p.gt_images[unknown]
    counts = np.diff(offsets)[images]
    gts = np.repeat(unknown, counts)
    dets = np.arange(len(gts)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(offsets[images], counts)
    a, b = p.det_boxes[rows[dets]].astype(np.float64), p.gt_boxes[gts]
    shared = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])).clip(0).prod(axis=1)
    area = (a[:, 2:] - a[:, :2]).prod(axis=1)
    parts = np.asarray(class_parts)[p.det_classes[rows[dets]]]
    excused[dets[(shared >= iou_threshold * area) & (area > 0) & (parts == p.gt_parts[gts])]] = True
    return excused
