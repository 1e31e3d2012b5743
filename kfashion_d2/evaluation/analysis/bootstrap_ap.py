"""
This module computes COCO's AP of boxes in every bootstrap replicate: matched once, counted with the images' copies as
weights.

Shapes: N images, B replicates; of one class D detections by falling score and H hits among them.
"""

from __future__ import annotations

import math

import numpy as np

from ...utils.arrays import ratio_or_nan
from ..detection.coco_matching import match_known, on_unknown
from ..predictions.core import Predictions

__all__ = ["bootstrap_box_ap"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_REPLICATES_AT_ONCE = 64


def bootstrap_box_ap(predictions: Predictions, copies: np.ndarray) -> dict[str, np.ndarray]:
    """
    Compute ``bbox/AP``, ``bbox/AP50`` and ``bbox/AP75`` of :func:`coco_metrics` in each replicate, as long as no image
    has more than 100 detections of a class.

    Args:
        copies: uint8 (N, B) of :func:`image_copies`.

    Returns:
        dict: name -> float64 (B,), percent; NaN where a replicate has no garment of known class.
    """
    p, replicates = predictions, copies.shape[1]
    known = np.flatnonzero(p.gt_classes >= 0)
    classes = p.det_classes.astype(np.int64)
    by_class = np.lexsort((-p.det_scores, classes))
    bounds = np.searchsorted(classes[by_class], np.arange(int(p.gt_classes.max(initial=-1)) + 2))
    present = np.unique(p.gt_classes[known]).tolist()
    # (class, threshold, replicate)
    values = np.full((len(present), len(IOU_THRESHOLDS), replicates), math.nan)
    counts = {
        label: copies[p.gt_images[known[p.gt_classes[known] == label]]].sum(axis=0, dtype=np.int64) for label in present
    }
    for t, threshold in enumerate(IOU_THRESHOLDS):
        matches = match_known(p, float(threshold))
        hit = np.zeros(p.num_detections, dtype=bool)
        hit[matches[matches >= 0]] = True
        counted = hit | ~on_unknown(p, float(threshold))
        for i, label in enumerate(present):
            rows = by_class[bounds[label] : bounds[label + 1]]
            rows = rows[counted[rows]]
            positions = np.flatnonzero(hit[rows])
            images = p.det_images[rows]
            for start in range(0, replicates, _REPLICATES_AT_ONCE):
                chunk = slice(start, start + _REPLICATES_AT_ONCE)
                values[i, t, chunk] = _average_precision(copies[images, chunk], positions, counts[label][chunk])
    present_in = ~np.isnan(values[:, 0])
    number = present_in.sum(axis=0)
    thresholds_by_name = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}
    result = {}
    for name, thresholds in thresholds_by_name.items():
        sums = np.where(present_in, values[:, thresholds].mean(axis=1), 0).sum(axis=0)
        result[f"bbox/{name}"] = 100 * ratio_or_nan(sums, number)
    return result


def _average_precision(copies: np.ndarray, hits: np.ndarray, num_gt: np.ndarray) -> np.ndarray:
    """
    Compute COCO's average precision of one class in some replicates.

    Args:
        copies: uint8 (D, b), of each detection's image.
        hits: int64 (H,), positions of those that found a garment.
        num_gt: int64 (b,), garments of the class.

    Returns:
        float64 (b,), 0 to 1; NaN without a garment.
    """
    result = np.where(num_gt > 0, 0.0, math.nan)
    if not len(hits):
        return result
    answered = copies.cumsum(axis=0, dtype=np.int32)[hits]
    right = copies[hits].cumsum(axis=0, dtype=np.int32)
    precision = np.divide(right, answered, out=np.zeros(right.shape), where=answered > 0)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    for b in np.flatnonzero(num_gt):
        positions = np.searchsorted(right[:, b] / num_gt[b], _RECALLS, side="left")
        result[b] = envelope[positions[positions < len(hits)], b].sum() / len(_RECALLS)
    return result
