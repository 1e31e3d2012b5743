"""
This module says where the points of detection go: what became of each detection and of each garment, and what each kind
of error costs, after TIDE (Bolya et al., ECCV 2020).

Shapes: as in predictions/core.py. A garment of unknown class excuses the detections of its part's classes on it and is
no garment to find, as in the COCO evaluator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...schema import UNKNOWN, AttributeSchema
from ..attributes.metrics import single_answers, threshold_row
from ..detection.coco_matching import match_known, on_unknown
from ..detection.matching import overlapping_pairs
from ..predictions.core import Predictions

__all__ = [
    "DETECTION_OUTCOMES",
    "GARMENT_OUTCOMES",
    "ErrorAnalysis",
    "analyze_errors",
    "error_summary",
    "points_lost",
    "wrong_groups",
]

DETECTION_OUTCOMES = ("right", "poor box", "wrong class", "duplicate", "background", "other", "excused")
RIGHT, POOR_BOX, WRONG_CLASS, DUPLICATE, BACKGROUND, OTHER, EXCUSED = range(7)
GARMENT_OUTCOMES = ("right", "wrong attributes", "wrong class", "poor box", "missed", "unknown class")
_G_RIGHT, _G_ATTRIBUTES, _G_CLASS, _G_BOX, _G_MISSED, _G_UNKNOWN = range(6)
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class ErrorAnalysis:
    """
    This is what became of each detection and of each garment.

    Attributes:
        score_threshold, iou_threshold, background_iou: as :func:`analyze_errors` was given.
        det_outcomes: int8 (D,), index into DETECTION_OUTCOMES; -1 of a detection below the score threshold:

            - right: found a garment of its class;
            - poor box: its best IoU with a garment of its class is between background and match;
            - wrong class: it matches a garment of another class;
            - duplicate: it matches a garment of its class that a better one found;
            - background: its IoU with every garment is at most `background_iou`;
            - other: both class and box are off;
            - excused: not right, and on a garment of unknown class.
        det_garments: int64 (D,), the row of the garment that a right, poor, wrong or duplicate one is about, or -1.
        gt_outcomes: int8 (G,), index into GARMENT_OUTCOMES: right and wrong attributes (found; all known groups are
            answered right, or not), wrong class, poor box (nothing better is about it), missed, unknown class.
        gt_detections: int64 (G,), the row of the detection that the outcome is about, the best by score; or -1.
        gt_wrong_groups: int8 (G, Q), of garments that were found: 1 the group is answered wrong, 0 right, -1 unknown;
            all -1 of the others.
    """

    score_threshold: float
    iou_threshold: float
    background_iou: float
    det_outcomes: np.ndarray
    det_garments: np.ndarray
    gt_outcomes: np.ndarray
    gt_detections: np.ndarray
    gt_wrong_groups: np.ndarray

    def counts(self) -> dict[str, dict[str, int]]:
        """Count "detections" and "garments" -> outcome -> how many."""
        dets = np.bincount(self.det_outcomes[self.det_outcomes >= 0], minlength=len(DETECTION_OUTCOMES))
        garments = np.bincount(self.gt_outcomes, minlength=len(GARMENT_OUTCOMES))
        return {
            "detections": dict(zip(DETECTION_OUTCOMES, dets.tolist(), strict=True)),
            "garments": dict(zip(GARMENT_OUTCOMES, garments.tolist(), strict=True)),
        }


def wrong_groups(
    scores: np.ndarray,
    targets: np.ndarray,
    schema: AttributeSchema,
    threshold: float | Mapping[str, float | Sequence[float]] = 0.5,
) -> np.ndarray:
    """
    Say which groups of each garment were answered wrongly.

    Args:
        scores, targets: float (M, L), int8 (M, L).
        schema: the groups of the L columns.
        threshold: the least score of a multi-label answer; see :func:`threshold_row`.

    Returns:
        int8 (M, Q): 1 where a group's answer is wrong (single: another label, or none; multi: any known entry), 0
        where it is right, -1 where nothing is known.
    """
    least = threshold_row(threshold, schema).astype(scores.dtype)
    wrong = np.full((len(scores), len(schema.groups)), UNKNOWN, dtype=np.int8)
    for i, group in enumerate(schema.groups):
        columns = schema.slice(group.name)
        group_scores, group_targets = np.nan_to_num(scores[:, columns]), targets[:, columns]
        known = group_targets != UNKNOWN
        if group.is_single:
            rows = known.all(axis=1)
            off = single_answers(group_scores) != group_targets.argmax(axis=1)
        else:
            rows = known.any(axis=1)
            off = (((group_scores >= least[columns]) != (group_targets == 1)) & known).any(axis=1)
        wrong[rows, i] = off[rows]
    return wrong


def analyze_errors(
    predictions: Predictions,
    *,
    score_threshold: float = 0.5,
    iou_threshold: float | None = None,
    background_iou: float = 0.1,
) -> ErrorAnalysis:
    """
    Find out what became of each detection and of each garment.

    Args:
        score_threshold: detections below it are not looked at: at 0 nearly everything is found, and most is wrong.
        iou_threshold: of a match; None: that of ``predictions.info``.
        background_iou: up to which a detection is on nothing.

    Raises:
        ValueError: not 0 < `background_iou` < `iou_threshold` <= 1.
    """
    iou_threshold = predictions.info.iou_threshold if iou_threshold is None else iou_threshold
    if not 0 < background_iou < iou_threshold <= 1:
        raise ValueError(f"IoUs of background {background_iou} and of a match {iou_threshold}: 0 < one < other <= 1")
    p = predictions
    kept = np.flatnonzero(p.det_scores >= score_threshold)
    det_offsets = np.searchsorted(kept, p.det_offsets)
    boxes, scores, classes = p.det_boxes[kept], p.det_scores[kept], p.det_classes[kept].astype(np.int64)
    matches = match_known(p, iou_threshold, kept)
    outcomes = np.full(len(kept), BACKGROUND, dtype=np.int8)
    about = np.full(len(kept), -1, dtype=np.int64)
    same, same_gt, other, other_gt = _best_overlaps(predictions, det_offsets, boxes, classes, background_iou)
    # In TIDE's order, the last word first.
    outcomes[np.maximum(same, other) > background_iou] = OTHER
    _set(outcomes, about, same >= iou_threshold, DUPLICATE, same_gt)
    _set(outcomes, about, other >= iou_threshold, WRONG_CLASS, other_gt)
    _set(outcomes, about, (same > background_iou) & (same < iou_threshold), POOR_BOX, same_gt)
    matched = np.flatnonzero(matches >= 0)
    excused = on_unknown(p, iou_threshold, kept)
    outcomes[excused], about[excused] = EXCUSED, -1
    outcomes[matches[matched]], about[matches[matched]] = RIGHT, matched

    det_outcomes = np.full(p.num_detections, -1, dtype=np.int8)
    det_garments = np.full(p.num_detections, -1, dtype=np.int64)
    det_outcomes[kept], det_garments[kept] = outcomes, about
    gt_outcomes = np.full(p.num_garments, _G_MISSED, dtype=np.int8)
    gt_detections = np.full(p.num_garments, -1, dtype=np.int64)
    for outcome, of_garment in ((POOR_BOX, _G_BOX), (WRONG_CLASS, _G_CLASS)):
        rows = np.flatnonzero(outcomes == outcome)
        rows = rows[np.argsort(scores[rows], kind="stable")]  # of several the best, which comes last
        gt_outcomes[about[rows]], gt_detections[about[rows]] = of_garment, kept[rows]
    gt_detections[matched] = kept[matches[matched]]
    wrong = np.full((p.num_garments, len(p.schema.groups)), UNKNOWN, dtype=np.int8)
    attributes = p.det_attributes[gt_detections[matched]]
    wrong[matched] = wrong_groups(attributes, p.gt_targets[matched], p.schema, p.info.threshold)
    gt_outcomes[matched] = np.where((wrong[matched] == 1).any(axis=1), _G_ATTRIBUTES, _G_RIGHT)
    gt_outcomes[p.gt_classes < 0] = _G_UNKNOWN
    gt_detections[p.gt_classes < 0] = -1
    return ErrorAnalysis(
        score_threshold,
        iou_threshold,
        background_iou,
        det_outcomes,
        det_garments,
        gt_outcomes,
        gt_detections,
        wrong,
    )


def _set(outcomes: np.ndarray, about: np.ndarray, rows: np.ndarray, outcome: int, garments: np.ndarray) -> None:
    outcomes[rows], about[rows] = outcome, garments[rows]


def _best_overlaps(
    predictions: Predictions, det_offsets: np.ndarray, boxes: np.ndarray, classes: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Find, as float64 (D',) and int64 (D',) twice, each detection's best IoU with a garment of its class and that
    garment, and with one of another class; 0 and -1 where no IoU reaches `least`. Garments of unknown class are left
    out.
    """
    num = len(boxes)
    best = np.zeros((2, num))
    garment = np.full((2, num), -1, dtype=np.int64)
    for dets, gts, ious in overlapping_pairs(det_offsets, boxes, predictions.gt_offsets, predictions.gt_boxes, least):
        gt_classes = predictions.gt_classes[gts]
        has_class = gt_classes == classes[dets]
        for i, chosen in enumerate((has_class, ~has_class & (gt_classes >= 0))):
            d, g, iou = dets[chosen], gts[chosen], ious[chosen]
            order = np.lexsort((-g, iou))  # the best comes last, of equal ones the first garment
            garment[i, d[order]], best[i, d[order]] = g[order], iou[order]
    return best[0], garment[0], best[1], garment[1]


def points_lost(
    predictions: Predictions, *, iou_threshold: float | None = None, background_iou: float = 0.1
) -> dict[str, float]:
    """
    Compute what each kind of error costs: AP at one IoU threshold (COCO's, over all detections), and what it would gain
    if the errors of one kind alone were repaired. The gains do not add up.

    A poor box is moved onto its garment and a wrong class set right, where no better detection has the garment, else
    taken away; duplicates, background and others are taken away; garments that nothing is about are not asked for.

    Returns:
        dict: "AP" and, by kind, "poor box", "wrong class", "duplicate", "background", "other", "missed": the gain;
        percent, NaN where no garment has a known class.

    Raises:
        ValueError: as :func:`analyze_errors`.
    """
    p = predictions
    errors = analyze_errors(p, score_threshold=-math.inf, iou_threshold=iou_threshold, background_iou=background_iou)
    num_classes = int(max(p.gt_classes.max(initial=-1), p.det_classes.max(initial=-1))) + 1
    known = p.gt_classes >= 0
    num_gt = np.bincount(p.gt_classes[known], minlength=num_classes)
    outcomes, about, classes = errors.det_outcomes, errors.det_garments, p.det_classes.astype(np.int64)
    right = outcomes == RIGHT
    used = outcomes != EXCUSED
    taken = np.zeros(p.num_garments, dtype=bool)
    taken[about[right]] = True
    base = _mean_ap(classes[used], p.det_scores[used], right[used], num_gt)
    gains = {"AP": base}
    for outcome in (POOR_BOX, WRONG_CLASS):
        rows = np.flatnonzero(outcomes == outcome)
        rows = rows[np.argsort(-p.det_scores[rows], kind="stable")]
        rows = rows[~taken[about[rows]]]
        _, first = np.unique(about[rows], return_index=True)
        repaired = rows[first]  # of several about one garment the best
        fixed_right, fixed_classes = right.copy(), classes.copy()
        fixed_right[repaired], fixed_classes[repaired] = True, p.gt_classes[about[repaired]]
        kept = used & ((outcomes != outcome) | fixed_right)
        gains[DETECTION_OUTCOMES[outcome]] = (
            _mean_ap(fixed_classes[kept], p.det_scores[kept], fixed_right[kept], num_gt) - base
        )
    for outcome in (DUPLICATE, BACKGROUND, OTHER):
        kept = used & (outcomes != outcome)
        gains[DETECTION_OUTCOMES[outcome]] = _mean_ap(classes[kept], p.det_scores[kept], right[kept], num_gt) - base
    asked = known & (errors.gt_outcomes != _G_MISSED)
    fewer = np.bincount(p.gt_classes[asked], minlength=num_classes)
    gains["missed"] = _mean_ap(classes[used], p.det_scores[used], right[used], fewer) - base
    return {name: 100 * value for name, value in gains.items()}


def error_summary(
    predictions: Predictions, *, score_threshold: float = 0.5, iou_threshold: float | None = None
) -> dict[str, Any]:
    """
    Put together :func:`points_lost` and the counts of :func:`analyze_errors`, for ``metrics.json``: "points_lost",
    "detections" and "garments", "wrong_groups" (group -> found garments whose group is answered wrong, and all whose
    group is known), and "score_threshold" of the counts.
    """
    errors = analyze_errors(predictions, score_threshold=score_threshold, iou_threshold=iou_threshold)
    wrong = errors.gt_wrong_groups
    by_group = {
        name: {"wrong": int((wrong[:, i] == 1).sum()), "known": int((wrong[:, i] >= 0).sum())}
        for i, name in enumerate(predictions.schema.group_names)
    }
    return {
        "points_lost": points_lost(predictions, iou_threshold=iou_threshold),
        **errors.counts(),
        "wrong_groups": by_group,
        "score_threshold": score_threshold,
    }


def _mean_ap(classes: np.ndarray, scores: np.ndarray, right: np.ndarray, num_gt: np.ndarray) -> float:
    """Compute COCO's AP, 0 to 1, mean over the classes that have garments; NaN of none."""
    order = np.lexsort((-scores, classes))
    classes, right = classes[order], right[order]
    bounds = np.searchsorted(classes, np.arange(len(num_gt) + 1))
    values = []
    for label in np.flatnonzero(num_gt):
        hits = right[bounds[label] : bounds[label + 1]].cumsum()
        precision = np.append(hits / np.arange(1, len(hits) + 1), 0.0)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        values.append(envelope[np.searchsorted(hits / num_gt[label], _RECALLS, side="left")].mean())
    return float(np.mean(values)) if values else math.nan
