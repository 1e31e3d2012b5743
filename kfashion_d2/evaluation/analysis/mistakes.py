"""
This module picks what to look at: a group's most confident wrong answers, and how well whole images went. Shapes as in
predictions/core.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...schema import UNKNOWN
from ...utils.arrays import ratio_or_nan
from ..attributes.metrics import single_answers
from ..predictions.core import Predictions
from .errors import DETECTION_OUTCOMES, GARMENT_OUTCOMES, ErrorAnalysis

__all__ = ["Mistakes", "best_and_worst", "confident_mistakes", "image_scores"]


class Mistakes(NamedTuple):
    """
    These are wrong answers of one group, the surest first.

    Attributes:
        garments: int64 (M,), rows of garments.
        truth: int64 (M,), the label that is given; -1 of a multi-label entry that is not (the answer is too much).
        answers: int64 (M,), the label that was answered; -1 of a multi-label entry that was not (one is missing).
        confidence: float64 (M,), the answer's score; of a missing label 1 - its score.
    """

    garments: np.ndarray
    truth: np.ndarray
    answers: np.ndarray
    confidence: np.ndarray


def confident_mistakes(
    rows: np.ndarray, scores: np.ndarray, targets: np.ndarray, is_single: bool, least: np.ndarray, limit: int
) -> Mistakes:
    """
    Pick the surest wrong answers of a group. Single-label: answers that are not the given label. Multi-label: entries
    on the wrong side of their threshold. Of equally sure ones the first garment, then the first label. A garment of a
    multi-label group comes up once.

    Args:
        rows: int64 (M,), the garments that are scored.
        scores, targets: float (M, K), int8 (M, K) of one group.
        is_single: of the group.
        least: float (K,), thresholds of multi-label answers.
        limit: how many at most.
    """
    scores = np.nan_to_num(scores)
    if is_single:
        answers, truth = single_answers(scores), targets.argmax(axis=1)
        wrong = np.flatnonzero((targets != UNKNOWN).all(axis=1) & (answers >= 0) & (answers != truth))
        truth, answers = truth[wrong], answers[wrong]
        confidence = scores[wrong, answers].astype(np.float64)
    else:
        said = scores >= least.astype(scores.dtype)
        sure = np.where(said, scores, 1 - scores).astype(np.float64)
        sure = np.where((targets != UNKNOWN) & (said != (targets == 1)), sure, -1.0)
        wrong = np.flatnonzero((sure >= 0).any(axis=1))
        label = sure[wrong].argmax(axis=1)
        confidence = sure[wrong, label]
        yes = said[wrong, label]
        truth, answers = np.where(yes, -1, label), np.where(yes, label, -1)
    order = np.argsort(-confidence, kind="stable")[:limit]
    return Mistakes(rows[wrong[order]], truth[order], answers[order], confidence[order])


def image_scores(predictions: Predictions, errors: ErrorAnalysis) -> np.ndarray:
    """
    Score how well each image went: by the mean over its garments of known class and its detections that are of none. A
    garment that was found has the share of its known groups that were answered right (all, where none is known),
    another one 0; a detection that is poor, wrong, double or of nothing has 0, unless a garment has its 0 already on
    its account.

    Returns:
        float64 (N,): 0 to 1; NaN of an image with nothing to say of.
    """
    p, wrong = predictions, errors.gt_wrong_groups
    matched = np.isin(errors.gt_outcomes, [GARMENT_OUTCOMES.index(x) for x in ("right", "wrong attributes")])
    known = (wrong >= 0).sum(axis=1)
    share = np.where(known > 0, (wrong == 0).sum(axis=1) / np.maximum(known, 1), 1.0)
    counted = p.gt_classes >= 0
    extra = ~np.isin(errors.det_outcomes, [-1, DETECTION_OUTCOMES.index("right"), DETECTION_OUTCOMES.index("excused")])
    named = errors.gt_detections[counted & ~matched]
    extra[named[named >= 0]] = False
    gained = np.bincount(p.gt_images, weights=np.where(counted & matched, share, 0.0), minlength=p.num_images)
    num_judged = np.bincount(p.gt_images[counted], minlength=p.num_images)
    num_judged = num_judged + np.bincount(p.det_images[extra], minlength=p.num_images)
    return ratio_or_nan(gained, num_judged)


def best_and_worst(predictions: Predictions, scores: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the rows of the images of the highest and of the lowest scores, none in both. Of equal scores the image with
    more garments comes first, then the earlier one.

    Args:
        scores: of :func:`image_scores`.
        limit: how many of each at most.
    """
    rows = np.flatnonzero(~np.isnan(scores))
    garments = np.diff(predictions.gt_offsets)[rows]
    best = rows[np.lexsort((-garments, -scores[rows]))]
    worst = rows[np.lexsort((-garments, scores[rows]))]
    limit = min(limit, (len(rows) + 1) // 2)
    best = best[:limit]
    worst = worst[:limit]
    return best, worst[~np.isin(worst, best)]
