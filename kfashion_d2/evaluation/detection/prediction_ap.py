"""This module computes COCO's AP, and AP at IoU and F1, of saved predictions, without the model and the COCO file."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..predictions.core import Predictions
from .attribute_f1 import chance_levels
from .attribute_sets import answer_sets, label_sets
from .coco_ap import coco_tables
from .iou_f1_arrays import iou_f1_tables
from .object_arrays import Masks, ObjectArrays

__all__ = ["coco_metrics", "coco_objects", "iou_f1_metrics"]

_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def coco_objects(
    predictions: Predictions, *, masks: bool = False, ignore: bool = True
) -> tuple[ObjectArrays, ObjectArrays]:
    """
    Return ground truth and detections as COCO sees them. A garment of unknown class is a crowd region of each class of
    its part: it excuses detections of those.

    Args:
        masks: with masks, which the predictions must have.
        ignore: False leaves garments of unknown class out.

    Raises:
        ValueError: the predictions have no masks.
    """
    p = predictions
    if masks and (p.det_masks is None or p.gt_masks is None):
        raise ValueError("these predictions have no masks: evaluate a model with MODEL.MASK_ON")
    known = p.gt_classes >= 0
    rows, classes = np.flatnonzero(known), p.gt_classes[known].astype(np.int64)
    class_parts = p.info.class_parts
    if ignore and class_parts is not None:
        for label, part in enumerate(class_parts):
            excusing = np.flatnonzero(~known & (p.gt_parts == part))
            rows, classes = np.append(rows, excusing), np.append(classes, np.full(len(excusing), label))
    boxes = p.gt_boxes[rows]
    gt = ObjectArrays(
        images=p.gt_images[rows],
        categories=classes,
        boxes=np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]),
        areas=p.gt_areas[rows],
        crowd=~known[rows],
        masks=_masks(p.gt_masks, p, p.gt_images).take(rows) if masks else None,
    )
    # In float32, as Detectron2's evaluator turns corners into sides.
    boxes = np.hstack([p.det_boxes[:, :2], p.det_boxes[:, 2:] - p.det_boxes[:, :2]]).astype(np.float64)
    det_masks = _masks(p.det_masks, p, p.det_images) if masks else None
    dt = ObjectArrays(
        images=p.det_images,
        categories=p.det_classes.astype(np.int64),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3] if det_masks is None else det_masks.areas(),
        scores=p.det_scores.astype(np.float64),
        masks=det_masks,
    )
    return gt, dt


def _masks(array: Any, predictions: Predictions, images: np.ndarray) -> Masks:
    """Make masks of an Arrow array of bytes."""
    _, offsets, counts = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64, count=len(array) + 1, offset=8 * array.offset)
    data = b"" if counts is None else counts.to_pybytes()
    sizes = np.stack([predictions.heights[images], predictions.widths[images]], axis=1)
    return Masks(sizes, ends, data)


def coco_metrics(predictions: Predictions) -> dict[str, dict[str, float]]:
    """
    Compute COCO's AP of saved predictions.

    Returns:
        dict: "bbox" and, of predictions with masks, "segm"; where garments of unknown class excuse detections also
        "bbox_no_ignore" and "segm_no_ignore", without that excuse. Of each Detectron2's names, percent: AP, AP50,
        AP75, APs, APm, APl and AP-<class>; NaN where there is nothing to find.
    """
    names = predictions.info.class_names
    metrics = {}
    for task, masks in (("bbox", False), ("segm", True)):
        if masks and (predictions.det_masks is None or predictions.gt_masks is None):
            continue
        for suffix, ignore in (("", True), ("_no_ignore", False)):
            if not ignore and not (predictions.gt_classes < 0).any():
                continue
            gt, dt = coco_objects(predictions, masks=masks, ignore=ignore)
            tables = coco_tables(gt, dt, len(names))
            values = {name: _percent(value) for name, value in zip(_NAMES, tables.stats[:6], strict=True)}
            for label, name in enumerate(names):
                ap = tables.ap[:, label, 0]
                kept = ap[ap > -1]
                values[f"AP-{name.name}"] = 100 * float(kept.mean()) if kept.size else math.nan
            metrics[f"{task}{suffix}"] = values
    return metrics


def _percent(value: float) -> float:
    return 100 * float(value) if value >= 0 else math.nan


def iou_f1_metrics(predictions: Predictions) -> dict[str, dict[str, float]]:
    """
    Compute Fashionpedia's AP at IoU and F1 of boxes, over all classes; see docs/metrics.md for what its F1 hides.

    Returns:
        dict, percent: "iou_f1" with the rows of :func:`evaluate_iou_f1` (AP, AP_IOU50_F150, ...), NaN where there is
        nothing to find; and "iou_f1_chance" with :func:`chance_levels` of the garments, what knowing nothing scores.
    """
    p = predictions
    gt, dt = coco_objects(p, ignore=False)
    truth, num_labels = label_sets(p.gt_targets[p.gt_classes >= 0]), p.schema.num_labels
    tables = iou_f1_tables(
        replace(gt, attributes=truth),
        replace(dt, attributes=answer_sets(p.det_attributes, p.schema, p.info.threshold)),
        num_categories=len(p.info.class_names),
        num_attributes=num_labels,
    )
    rows = tables.summary(range(len(p.info.class_names)))["iou_f1"]
    chance = chance_levels(truth, num_labels)
    return {
        "iou_f1": {name: _percent(value) for name, value in rows.items()},
        "iou_f1_chance": {name: 100 * value for name, value in chance.items()},
    }
