"""
This module turns predictions into metrics, in every setting; it is the only one that does. Shapes as in
predictions/core.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .attributes.group_metrics import detailed_metrics
from .attributes.label_table import LabelTable
from .attributes.metrics import evaluate_attributes
from .attributes.styles import evaluate_styles
from .detection.matching import match_images
from .detection.prediction_ap import coco_metrics, iou_f1_metrics
from .predictions.core import Predictions

__all__ = ["ATTRIBUTE_TASKS", "Evaluation", "evaluate_predictions", "match_predictions", "style_tasks", "task_rows"]

# The settings in which attributes are scored -> their titles.
ATTRIBUTE_TASKS = {
    "attributes": "detections, by class",
    "attributes_class_agnostic": "detections, any class",
    "attributes_gt_boxes": "ground-truth boxes",
}


@dataclass(frozen=True)
class Evaluation:
    """
    An evaluation has all metrics of predictions, and what they were made from.

    Attributes:
        metrics: task -> name -> value; percentages but the counts, NaN where there is nothing to measure.
        tables: task -> its labels one by one, for the tasks of ATTRIBUTE_TASKS that were evaluated.
        matches: "attributes" and "attributes_class_agnostic" -> int64 (G,), the row of each garment's detection or -1.
        iou_threshold: of the matching.
    """

    metrics: dict[str, dict[str, float]]
    tables: dict[str, LabelTable]
    matches: dict[str, np.ndarray]
    iou_threshold: float


def match_predictions(
    predictions: Predictions, iou_threshold: float = 0.5, *, class_agnostic: bool = False
) -> np.ndarray:
    """Find the row of each garment's detection, or -1; see :func:`match_images`. int64 (G,)."""
    return match_images(
        predictions.det_offsets,
        predictions.det_boxes,
        predictions.det_scores,
        predictions.det_classes,
        predictions.gt_offsets,
        predictions.gt_boxes,
        predictions.gt_classes,
        iou_threshold,
        gt_parts=predictions.gt_parts,
        class_parts=predictions.info.class_parts,
        class_agnostic=class_agnostic,
    )


def task_rows(
    predictions: Predictions, task: str, matches: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return what a task of ATTRIBUTE_TASKS scores.

    Args:
        matches: of an :class:`Evaluation`.

    Returns:
        int64 (M,): the rows of the garments; float16 (M, L) scores; int8 (M, L) targets.

    Raises:
        ValueError: the predictions hold no scores on ground-truth boxes.
    """
    if task == "attributes_gt_boxes":
        if predictions.gt_attributes is None:
            raise ValueError("these predictions hold no scores on ground-truth boxes: evaluate with --gt-boxes")
        return np.arange(predictions.num_garments), predictions.gt_attributes, predictions.gt_targets
    garments = np.flatnonzero(matches[task] >= 0)
    return garments, predictions.det_attributes[matches[task][garments]], predictions.gt_targets[garments]


def evaluate_predictions(
    predictions: Predictions, *, iou_threshold: float | None = None, coco: bool = True, detailed: bool = True
) -> Evaluation:
    """
    Compute every metric of predictions, with the thresholds and the training counts of ``predictions.info``.

    - "bbox" and "segm", COCO's AP (:func:`coco_metrics`); "iou_f1", AP at IoU and F1 (:func:`iou_f1_metrics`);
    - "attributes": of garments that a detection of their class found (:func:`match_images`), with ``garments`` (all),
      ``matched`` and ``recall`` (percent) beside the metrics of :func:`detailed_metrics`;
    - "attributes_class_agnostic": the same whatever the detection's class is;
    - "attributes_gt_boxes": of all garments, read from their true boxes, where that was asked for;
    - "style" and "sub_style" of a model that predicts them (:func:`evaluate_styles`).

    Args:
        predictions: what a model said of the images of a split.
        iou_threshold: of a match; None: that of ``predictions.info``.
        coco: with both APs, which take most of the time.
        detailed: False leaves out what an evaluation during training can do without: "iou_f1",
            "attributes_class_agnostic" (whose recall becomes ``recall_class_agnostic`` of "attributes"), the labels one
            by one, and all but the metrics of :func:`evaluate_attributes`.

    Raises:
        ValueError: the threshold is not in (0, 1].
    """
    info = predictions.info
    iou_threshold = info.iou_threshold if iou_threshold is None else iou_threshold
    matches = {
        "attributes": match_predictions(predictions, iou_threshold),
        "attributes_class_agnostic": match_predictions(predictions, iou_threshold, class_agnostic=True),
    }
    metrics: dict[str, dict[str, float]] = {}
    if coco and info.class_names:
        metrics.update(coco_metrics(predictions))
        if detailed:
            metrics.update(iou_f1_metrics(predictions))
    tables: dict[str, LabelTable] = {}
    for task in _attribute_tasks(predictions, detailed):
        _, scores, targets = task_rows(predictions, task, matches)
        if detailed:
            metrics[task], tables[task] = detailed_metrics(
                scores, targets, info.schema, info.threshold, info.label_counts
            )
        else:
            metrics[task] = evaluate_attributes(scores, targets, info.schema, info.threshold)
        if task in matches:
            metrics[task].update(
                garments=float(predictions.num_garments),
                matched=float((matches[task] >= 0).sum()),
                recall=_recall(matches[task]),
            )
    if not detailed:
        metrics["attributes"]["recall_class_agnostic"] = _recall(matches["attributes_class_agnostic"])
    for task, scores, styles in style_tasks(predictions):
        metrics[task] = evaluate_styles(scores, styles, info.schema.styles.labels)
    return Evaluation(metrics, tables, matches, iou_threshold)


def _attribute_tasks(predictions: Predictions, detailed: bool) -> list[str]:
    """List the settings in which the attributes of these predictions are scored."""
    left_out = set() if detailed else {"attributes_class_agnostic"}
    if predictions.gt_attributes is None:
        left_out.add("attributes_gt_boxes")
    return [task for task in ATTRIBUTE_TASKS if task not in left_out]


def _recall(matches: np.ndarray) -> float:
    """Return the percentage of the garments that have a detection; NaN where there is no garment."""
    return 100 * int((matches >= 0).sum()) / len(matches) if len(matches) else math.nan


def style_tasks(predictions: Predictions) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield "style" and "sub_style" where they are predicted, each with float32 (N, S) scores and int16 (N,) styles."""
    p = predictions
    for task, scores, styles in (
        ("style", p.style_scores, p.styles),
        ("sub_style", p.sub_style_scores, p.sub_styles),
    ):
        if scores is not None:
            yield task, scores, styles
