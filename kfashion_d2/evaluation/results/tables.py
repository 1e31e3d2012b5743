"""This module lays out the metrics of an evaluation as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from ...schema import AttributeSchema
from ..attributes.metrics import attribute_table
from ..attributes.styles import style_table
from ..evaluate import ATTRIBUTE_TASKS, Evaluation
from ..predictions.core import PredictionsInfo

__all__ = ["HEADLINE", "SHOWN", "evaluation_table", "headline_table", "training_table"]

# Names within an attribute task -> what they are.
HEADLINE = {
    "recall": "garments found",
    "mean/accuracy": "accuracy",
    "mean/balanced_accuracy": "balanced accuracy",
    "mean/macro_f1": "macro-F1",
    "mean/mAP": "mAP",
    "mean/micro_f1": "micro-F1",
    "mean/ece": "calibration error",
    "head/f1": "F1, head",
    "mid/f1": "F1, mid",
    "tail/f1": "F1, tail",
}

# Of tasks with many rows those for a terminal.
SHOWN = {
    "iou_f1": ("AP", "AP_IOU50", "AP_F150", "AP_IOU50_F150", "AP_IOU75_F175"),
    "iou_f1_chance": ("nothing/F1", "all_wrong/F1", "commonest/F1"),
}


def headline_table(document: Mapping[str, Any]) -> str:
    """
    Lay out a line for each headline number, a column for each setting, with the intervals that are there.

    Args:
        document: of :func:`metrics_document` or :func:`read_metrics`.
    """
    metrics, intervals = document["metrics"], document["intervals"]
    tasks = [task for task in ATTRIBUTE_TASKS if any(name.startswith(f"{task}/") for name in metrics)]
    rows = []
    for name, title in HEADLINE.items():
        cells = [_cell(f"{task}/{name}", metrics, intervals) for task in tasks]
        if any(cells):
            rows.append([title, *cells])
    headers = ["percent", *(ATTRIBUTE_TASKS[task] for task in tasks)]
    text = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)
    tables: dict[tuple[str, ...], list[list[str]]] = {}  # tasks of the same metrics share one
    for task in sorted({name.partition("/")[0] for name in metrics} - set(ATTRIBUTE_TASKS)):
        names = [name.partition("/")[2] for name in metrics if name.startswith(f"{task}/") and "-" not in name]
        names = [name for name in names if name in SHOWN.get(task, names)]
        row = [_cell(f"{task}/{name}", metrics, intervals) or "-" for name in names]
        tables.setdefault(tuple(names), []).append([task.replace("_", " "), *row])
    for columns, rows in tables.items():
        text += "\n\n" + tabulate(rows, headers=["", *columns], tablefmt="simple", disable_numparse=True)
    return text


def _cell(name: str, metrics: Mapping[str, float], intervals: Mapping[str, Any]) -> str:
    value = metrics.get(name)
    if value is None or math.isnan(value):
        return ""
    low, high = intervals.get(name, (math.nan, math.nan))
    return f"{value:.1f}" if low is None or math.isnan(low) else f"{value:.1f} ({low:.1f} to {high:.1f})"


def evaluation_table(
    document: Mapping[str, Any], evaluation: Evaluation, schema: AttributeSchema, language: str = "en"
) -> str:
    """
    Lay out the headline, what the errors cost, then the groups one by one on detections and, where they were read, on
    ground-truth boxes.
    """
    parts = [headline_table(document), attribute_table(evaluation.metrics, schema, language)]
    if document["errors"] is not None:
        parts.insert(1, _error_table(document["errors"]))
    return "\n\n".join(parts)


def training_table(evaluation: Evaluation, info: PredictionsInfo) -> str:
    """
    Describe an evaluation for the log of a training: boxes and masks, then the attributes, then the styles.

    Args:
        evaluation: of :func:`evaluate_predictions`.
        info: of the predictions that were evaluated.
    """
    metrics = evaluation.metrics
    detection = {task: metrics[task] for task in metrics if task.startswith(("bbox", "segm"))}
    parts = []
    if detection:
        parts += [f"Boxes and masks on {info.dataset}, percent:", _detection_table(detection)]
    attributes = metrics["attributes"]
    parts += [
        f"Attributes on {info.dataset}, percent, over labelled ground truth; {attributes['matched']:.0f} of "
        f"{attributes['garments']:.0f} garments were found at IoU {evaluation.iou_threshold}:",
        attribute_table(metrics, info.schema),
    ]
    styles: dict[str, dict[str, float]] = {t: metrics[t] for t in ("style", "sub_style") if t in metrics}
    if styles:
        parts += [
            f"Styles on {info.dataset}, percent, over the images of known style:",
            style_table(styles, info.schema),
        ]
    return "\n".join(parts)


def _detection_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Lay out a line for each of COCO's numbers and each class, a column for each task."""
    names = list(next(iter(metrics.values())))
    rows = [[name, *(values[name] for values in metrics.values())] for name in names]
    headers = ["", *(task.replace("_", " ") for task in metrics)]
    return tabulate(rows, headers=headers, tablefmt="simple", floatfmt=".1f")


def _error_table(errors: Mapping[str, Any]) -> str:
    """Lay out what a kind of error costs, and how often it occurs among detections and garments."""
    lost, counts = errors["points_lost"], errors["garments"]
    rows = [
        [kind, f"{gain:+.1f}", errors["detections"].get(kind), counts.get(kind)]
        for kind, gain in lost.items()
        if kind != "AP"
    ]
    total = sum(counts.values()) - counts["unknown class"]
    rows += [[kind, "", errors["detections"].get(kind), counts[kind]] for kind in ("wrong attributes", "right")]
    least = errors["score_threshold"]
    header = [f"AP50 {lost['AP']:.1f}, if repaired", "AP50", f"detections from {least}", f"of {total} garments"]
    return tabulate(rows, headers=header, tablefmt="simple", missingval="", disable_numparse=True)
