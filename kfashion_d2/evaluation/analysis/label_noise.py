"""
This module finds labels that may be wrong: where the model disagrees, and is as sure of another label as it is where
that one is given, after confident learning (Northcutt et al., 2021). Suspects are for people to look at, best evidence
first.

Shapes: as in predictions/core.py; M suspects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...schema import CATEGORY_GROUP, UNKNOWN
from ..detection.matching import match_images
from ..evaluate import match_predictions
from ..predictions.core import Predictions

__all__ = ["Suspects", "find_suspects"]

CLASS = -1  # in `groups`: the garment's class itself
MIN_SUPPORT = 5  # labels given less often say too little about how sure the model is of them


@dataclass(frozen=True)
class Suspects:
    """
    These are labels that may be wrong, the likeliest first.

    Attributes:
        predictions: what they were found in.
        garments: int64 (M,), rows of garments.
        groups: int16 (M,), positions in ``schema.groups``; -1 the garment's class.
        given: int16 (M,), the label that stands in the data, local to its group; -1 of a multi-label entry that is
            suspected to be missing.
        suggested: int16 (M,), the label that the model suggests; -1 of an entry that is suspected to be too many.
        given_scores, suggested_scores: float32 (M,): the model's score of the first, and of the second (of an entry
            too many, or missing: of the label that is not there, 1 - the other).
        margins: float32 (M,), above 0, falling: how far the scores are from the given label. Single: the suggested
            label's score less the given one's. Multi: the score less its mean over the garments without the label
            (missing), or the mean over those with it less the score (too many). Class: the score.
    """

    predictions: Predictions
    garments: np.ndarray
    groups: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    given_scores: np.ndarray
    suggested_scores: np.ndarray
    margins: np.ndarray

    def __len__(self) -> int:
        return len(self.garments)

    def rows(self, limit: int | None = None) -> list[dict[str, Any]]:
        """
        Return the first `limit` as plain values: rank (from 1), image_id, image_index, place (in the image's
        annotations), box (XYXY), part, group; given and suggested (English names; None where there is none),
        given_korean, suggested_korean; given_score, suggested_score, margin.
        """
        p, schema = self.predictions, self.predictions.schema
        names = {CLASS: p.info.class_names, **{i: group.labels for i, group in enumerate(schema.groups)}}
        rows = []
        for i in range(len(self) if limit is None else min(limit, len(self))):
            garment, group = int(self.garments[i]), int(self.groups[i])
            image = int(p.gt_images[garment])
            row = {
                "rank": i + 1,
                "image_id": int(p.image_ids[image]),
                "image_index": int(p.image_indices[image]),
                "place": int(p.gt_places[garment]),
                "box": [float(x) for x in p.gt_boxes[garment]],
                "part": schema.parts.labels[p.gt_parts[garment]].name,
                "group": CATEGORY_GROUP if group == CLASS else schema.groups[group].name,
            }
            for name, label in (("given", int(self.given[i])), ("suggested", int(self.suggested[i]))):
                row[name] = None if label < 0 else names[group][label].name
                row[f"{name}_korean"] = None if label < 0 else names[group][label].korean
            row["given_score"] = float(self.given_scores[i])
            row["suggested_score"] = float(self.suggested_scores[i])
            row["margin"] = float(self.margins[i])
            rows.append(row)
        return rows


def find_suspects(predictions: Predictions, *, iou_threshold: float | None = None) -> Suspects:
    """
    Find labels that may be wrong. Attributes are judged by the scores on ground-truth boxes where there are any, else
    by those of the detection that found the garment, whatever its class. How sure the model is of a label is its mean
    score over the garments that have it: a label is suggested only with at least that score.

    - Single-label group: the answer is another label than the given one.
    - Multi-label group: a label that is not given has a score as of where it is; or a given one has at most the mean
      score of garments without it.
    - Class: a detection of another class matches the garment, none of its own does; its score is the suggestion's.

    Args:
        iou_threshold: of a match; None: that of ``predictions.info``.
    """
    p = predictions
    iou_threshold = p.info.iou_threshold if iou_threshold is None else iou_threshold
    if p.gt_attributes is not None:
        garments, scores = np.arange(p.num_garments), p.gt_attributes
    else:
        matches = match_predictions(p, iou_threshold, class_agnostic=True)
        garments = np.flatnonzero(matches >= 0)
        scores = p.det_attributes[matches[garments]]
    targets = p.gt_targets[garments]
    candidates = [_wrong_classes(p, iou_threshold)]
    for i, group in enumerate(p.schema.groups):
        columns = p.schema.slice(group.name)
        group_scores = np.nan_to_num(scores[:, columns]).astype(np.float32)
        judge = _single if group.is_single else _multi
        rows, *values = judge(group_scores, targets[:, columns])
        candidates.append((garments[rows], np.full(len(rows), i), *values))
    arrays = [np.concatenate(parts) for parts in zip(*candidates, strict=True)]
    order = np.lexsort((arrays[1], arrays[0], -arrays[-1]))
    types = (np.int64, np.int16, np.int16, np.int16, np.float32, np.float32, np.float32)
    return Suspects(p, *(x[order].astype(kind) for x, kind in zip(arrays, types, strict=True)))


_Candidates = tuple[np.ndarray, ...]  # rows, given, suggested, given scores, suggested scores, margins


def _single(scores: np.ndarray, targets: np.ndarray) -> _Candidates:
    rows = np.flatnonzero((targets != UNKNOWN).all(axis=1) & scores.any(axis=1))
    truth = targets[rows].argmax(axis=1)
    given_scores = scores[rows, truth]
    count = np.bincount(truth, minlength=scores.shape[1])
    usual = np.bincount(truth, weights=given_scores, minlength=scores.shape[1]) / np.maximum(count, 1)
    usual[count < MIN_SUPPORT] = math.inf
    # Of the labels that are as sure as usual, the surest.
    sure = np.where(scores[rows] >= usual, scores[rows], -1.0)
    answer = sure.argmax(axis=1)
    off = np.flatnonzero((sure.max(axis=1) >= 0) & (answer != truth) & (scores[rows, answer] > given_scores))
    best = scores[rows[off], answer[off]]
    return rows[off], truth[off], answer[off], given_scores[off], best, best - given_scores[off]


def _multi(scores: np.ndarray, targets: np.ndarray) -> _Candidates:
    candidates = []
    for label in range(scores.shape[1]):
        column, truth = scores[:, label], targets[:, label]
        yes, no = truth == 1, truth == 0
        if yes.sum() < MIN_SUPPORT or no.sum() < MIN_SUPPORT:
            continue
        usual_yes, usual_no = float(column[yes].mean()), float(column[no].mean())
        if usual_yes <= usual_no:
            continue  # the model knows nothing of this label
        missing = np.flatnonzero(no & (column >= usual_yes))
        extra = np.flatnonzero(yes & (column <= usual_no))
        for rows, is_missing in ((missing, True), (extra, False)):
            score = column[rows]
            labels, none = np.full(len(rows), label), np.full(len(rows), -1)
            margins = score - usual_no if is_missing else usual_yes - score
            given, suggested = (none, labels) if is_missing else (labels, none)
            pair = (1 - score, score) if is_missing else (score, 1 - score)
            candidates.append((rows, given, suggested, *pair, margins))
    if not candidates:
        return tuple(np.zeros(0, dtype=np.int64 if i < 3 else np.float32) for i in range(6))
    return tuple(np.concatenate(parts) for parts in zip(*candidates, strict=True))


def _wrong_classes(p: Predictions, iou_threshold: float) -> _Candidates:
    """Do for classes what the groups' functions do, with the rows of garments and CLASS before the rest."""
    matches = match_predictions(p, iou_threshold)
    # What is matched already and garments of unknown class take no part: an empty box overlaps nothing.
    det_boxes, gt_boxes = p.det_boxes.copy(), p.gt_boxes.copy()
    det_boxes[matches[matches >= 0]] = 0
    gt_boxes[(matches >= 0) | (p.gt_classes < 0)] = 0
    agnostic = match_images(
        p.det_offsets,
        det_boxes,
        p.det_scores,
        p.det_classes,
        p.gt_offsets,
        gt_boxes,
        p.gt_classes,
        iou_threshold,
        class_agnostic=True,
    )
    rows = np.flatnonzero(agnostic >= 0)
    suggested, score = p.det_classes[agnostic[rows]].astype(np.int64), p.det_scores[agnostic[rows]]
    right = matches[matches >= 0]
    size = max(int(p.det_classes.max(initial=-1)) + 1, 1)
    count = np.bincount(p.det_classes[right], minlength=size)
    usual = np.bincount(p.det_classes[right], weights=p.det_scores[right], minlength=size) / np.maximum(count, 1)
    usual[count < MIN_SUPPORT] = math.inf
    sure = score >= usual[suggested]
    rows, suggested, score = rows[sure], suggested[sure], score[sure]
    none = np.zeros(len(rows), dtype=np.float32)  # a detector gives no score to the class that it did not answer
    return rows, np.full(len(rows), CLASS), p.gt_classes[rows].astype(np.int64), suggested, none, score, score
