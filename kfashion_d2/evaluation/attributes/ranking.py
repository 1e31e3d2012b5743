"""
This module measures one label's scores in their order: precision and recall from the best score down.

Shapes: N rows, M distinct scores among them, K labels. Targets are int8: 1 yes, 0 no, -1 unknown.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...schema import UNKNOWN
from ...utils.arrays import last_of_equals

__all__ = ["PrecisionRecall", "average_precision", "precision_at_recall", "precision_recall"]

_NAN = float("nan")


class PrecisionRecall(NamedTuple):
    """
    This is what answering yes from each score on would give; rows of equal score are one step.

    Attributes:
        scores: (M,), falling, in the type of the scores given.
        precision, recall: float64 (M,), 0 to 1; recall is NaN where the label is nowhere true.
    """

    scores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def falling_order(scores: np.ndarray) -> np.ndarray:
    """Sort the rows by falling score, equal ones in the order given. Scores are not negative. int64 (N,)."""
    if scores.dtype == np.float16:  # as integers they are in the same order, and NumPy sorts those by radix
        return np.argsort(np.uint16(0xFFFF) - np.ascontiguousarray(scores).view(np.uint16), kind="stable")
    return np.argsort(-scores, kind="stable")


def precision_recall(scores: np.ndarray, targets: np.ndarray) -> PrecisionRecall:
    """
    Compute the precision-recall curve of one label.

    Args:
        scores: float (N,), 0 or more, no NaN.
        targets: int8 (N,); rows of -1 are left out.
    """
    known = targets != UNKNOWN
    scores, positive = scores[known], targets[known] == 1
    order = falling_order(scores)
    scores, positive = scores[order], positive[order]
    last = last_of_equals(scores)
    right, answered = positive.cumsum()[last], last + 1
    total = int(positive.sum())
    recall = right / total if total else np.full(len(last), _NAN)
    return PrecisionRecall(scores[last], right / answered, recall)


def average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """
    Compute the average precision of each label: the sum of precision times the step in recall over the distinct scores,
    without interpolation. Rows of equal score count as one step, so their order does not matter.

    Args:
        scores: float (N, K), 0 or more, no NaN.
        targets: int8 (N, K); entries of -1 are left out.

    Returns:
        float64 (K,): 0 to 1; NaN for a label that is nowhere true.
    """
    result = np.full(scores.shape[1], _NAN)
    for label in np.flatnonzero((targets == 1).any(axis=0)):
        curve = precision_recall(scores[:, label], targets[:, label])
        result[label] = (np.diff(curve.recall, prepend=0) * curve.precision).sum()
    return result


def precision_at_recall(scores: np.ndarray, targets: np.ndarray, recall: float) -> np.ndarray:
    """
    Find the best precision of each label among the scores from which on at least this share of its rows is found.

    Args:
        scores, targets: as of :func:`average_precision`.
        recall: above 0, at most 1.

    Returns:
        float64 (K,): 0 to 1; NaN for a label that is nowhere true.

    Raises:
        ValueError: the recall is out of range.
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall={recall}: it must be above 0 and at most 1")
    result = np.full(scores.shape[1], _NAN)
    for label in np.flatnonzero((targets == 1).any(axis=0)):
        curve = precision_recall(scores[:, label], targets[:, label])
        result[label] = curve.precision[curve.recall >= recall].max()
    return result
