"""
This module finds what a report shows of an evaluation beside its metrics: curves, confusions, errors, mistakes and
suspects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..attributes.label_table import confusion_matrix
from ..attributes.metrics import threshold_row
from ..attributes.ranking import PrecisionRecall, precision_recall
from ..calibration.confidence import CalibrationBins, answer_confidences, calibration_bins
from ..evaluate import Evaluation, task_rows
from ..predictions.core import Predictions
from .errors import ErrorAnalysis, analyze_errors
from .label_noise import Suspects, find_suspects
from .mistakes import Mistakes, best_and_worst, confident_mistakes, image_scores

__all__ = ["Findings", "class_confusion", "find_all"]


@dataclass(frozen=True)
class Findings:
    """
    These are the parts of an evaluation that a person looks at one by one.

    Shapes: N images, K labels of one group, C classes.

    Attributes:
        task: the setting that labels, curves and mistakes are of: "attributes_gt_boxes" where it was evaluated, else
            "attributes".
        curves: position of a label among the schema's labels -> its precision and recall at every score, for the labels
            of multi-label groups that are somewhere true.
        thresholds: position of a label -> the least score of a multi-label answer, as numbers of the scores' type.
        reliability: group -> how often its answers of each confidence are right.
        confusions: single-label group -> int64 (K, K + 1), true labels against answers, the last column for none.
        class_confusion: int64 (C, C + 1), true classes against those of the detections that found them, the last column
            for garments that were not found; None where no class is known.
        errors: of :func:`analyze_errors`.
        mistakes: group -> its most confident wrong answers.
        image_scores: float64 (N,), how well each image went; see :func:`image_scores`.
        best_images, worst_images: int64, rows of images.
        suspects: the labels that are most likely wrong.
    """

    task: str
    curves: dict[int, PrecisionRecall]
    thresholds: np.ndarray
    reliability: dict[str, CalibrationBins]
    confusions: dict[str, np.ndarray]
    class_confusion: np.ndarray | None
    errors: ErrorAnalysis
    mistakes: dict[str, Mistakes]
    image_scores: np.ndarray
    best_images: np.ndarray
    worst_images: np.ndarray
    suspects: Suspects


def find_all(
    predictions: Predictions,
    evaluation: Evaluation,
    *,
    score_threshold: float = 0.5,
    mistakes_per_group: int = 6,
    num_images: int = 4,
) -> Findings:
    """
    Find everything that :class:`Findings` holds.

    Args:
        predictions: of a split.
        evaluation: of these predictions, detailed.
        score_threshold: the least score of a detection that is looked at one by one.
        mistakes_per_group: how many of the most confident wrong answers of each group.
        num_images: how many of the best images, and of the worst.
    """
    schema = predictions.schema
    task = "attributes_gt_boxes" if "attributes_gt_boxes" in evaluation.tables else "attributes"
    rows, scores, targets = task_rows(predictions, task, evaluation.matches)
    thresholds = threshold_row(predictions.info.threshold, schema)
    curves: dict[int, PrecisionRecall] = {}
    reliability, confusions, mistakes = {}, {}, {}
    for group in schema.groups:
        columns = schema.slice(group.name)
        group_scores, group_targets = np.nan_to_num(scores[:, columns]), targets[:, columns]
        bins = calibration_bins(*answer_confidences(group_scores, group_targets, group.is_single))
        if bins.counts.any():
            reliability[group.name] = bins
        mistakes[group.name] = confident_mistakes(
            rows, scores[:, columns], group_targets, group.is_single, thresholds[columns], mistakes_per_group
        )
        if group.is_single:
            matrix = confusion_matrix(scores[:, columns], group_targets)
            if matrix.any():
                confusions[group.name] = matrix
            continue
        for i in range(group.num_labels):
            if (group_targets[:, i] == 1).any():
                curves[columns.start + i] = precision_recall(group_scores[:, i], group_targets[:, i])
    errors = analyze_errors(predictions, score_threshold=score_threshold, iou_threshold=evaluation.iou_threshold)
    scores_of_images = image_scores(predictions, errors)
    best, worst = best_and_worst(predictions, scores_of_images, num_images)
    return Findings(
        task=task,
        curves=curves,
        thresholds=thresholds,
        reliability=reliability,
        confusions=confusions,
        class_confusion=class_confusion(predictions, evaluation),
        errors=errors,
        mistakes=mistakes,
        image_scores=scores_of_images,
        best_images=best,
        worst_images=worst,
        suspects=find_suspects(predictions, iou_threshold=evaluation.iou_threshold),
    )


def class_confusion(predictions: Predictions, evaluation: Evaluation) -> np.ndarray | None:
    """
    Count true classes against those of the detections that found them, whatever their class.

    Returns:
        int64 (C, C + 1), the last column for garments that were not found; None where no class is known.
    """
    p, num_classes = predictions, len(predictions.info.class_names)
    known = np.flatnonzero(p.gt_classes >= 0)
    if not num_classes or not len(known):
        return None
    # A garment keeps the detection of its class where it has one.
    strict, loose = (evaluation.matches[task][known] for task in ("attributes", "attributes_class_agnostic"))
    matches = np.where(strict >= 0, strict, loose)
    answers = np.full(len(known), num_classes)
    answers[matches >= 0] = p.det_classes[matches[matches >= 0]]
    cells = p.gt_classes[known].astype(np.int64) * (num_classes + 1) + answers
    return np.bincount(cells, minlength=num_classes * (num_classes + 1)).reshape(num_classes, -1)
