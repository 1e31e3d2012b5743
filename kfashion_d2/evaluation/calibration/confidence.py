"""This module compares confidence with frequency. Shapes: M answers, B equally wide bins from 0 to 1."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...schema import UNKNOWN
from ...utils.arrays import ratio_or_nan

__all__ = ["CalibrationBins", "answer_confidences", "calibration_bins", "expected_calibration_error"]

NUM_BINS = 15


class CalibrationBins(NamedTuple):
    """
    These bins hold answers of about the same confidence.

    Attributes:
        counts: int64 (B,), answers in each bin.
        confidence: float64 (B,), their mean confidence; NaN of an empty bin.
        frequency: float64 (B,), the share that is right; NaN of an empty bin.
    """

    counts: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray


def calibration_bins(confidence: np.ndarray, right: np.ndarray, num_bins: int = NUM_BINS) -> CalibrationBins:
    """
    Compute what a reliability diagram shows.

    Args:
        confidence: float (M,), 0 to 1.
        right: bool (M,).
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    bins = np.minimum((confidence * num_bins).astype(np.int64), num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    sums = (np.bincount(bins, weights=x, minlength=num_bins) for x in (confidence, np.asarray(right, dtype=np.float64)))
    means = (ratio_or_nan(x, counts) for x in sums)
    return CalibrationBins(counts, *means)


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, num_bins: int = NUM_BINS) -> float:
    """
    Compute the mean distance between confidence and frequency over the bins, each weighted by its share (arXiv
    1706.04599).

    Returns:
        float: 0 to 1; NaN of no answer.
    """
    bins = calibration_bins(confidence, right, num_bins)
    used = bins.counts > 0
    if not used.any():
        return math.nan
    gaps = np.abs(bins.confidence[used] - bins.frequency[used])
    return float((gaps * bins.counts[used]).sum() / bins.counts.sum())


def answer_confidences(scores: np.ndarray, targets: np.ndarray, is_single: bool) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the answers' confidence in a group and whether they are right, over what is known.

    Args:
        scores, targets: float (N, K), int8 (N, K).
        is_single: the best label of each row that has an answer is one; otherwise every entry is, and "right" means
            that the label is true.

    Returns:
        float (M,), bool (M,).
    """
    if not is_single:
        known = targets != UNKNOWN
        return scores[known], targets[known] == 1
    rows = (targets != UNKNOWN).all(axis=1) & scores.any(axis=1)
    scores, targets = scores[rows], targets[rows]
    best = scores.argmax(axis=1)
    take = np.arange(len(best))
    return scores[take, best], targets[take, best] == 1
