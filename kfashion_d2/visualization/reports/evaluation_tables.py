"""
This module lays out the numbers of the evaluation report as rows for its template. A name is a pair, English and
Korean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...evaluation.analysis.findings import Findings
from ...evaluation.attributes.frequency_bands import BANDS
from ...evaluation.evaluate import ATTRIBUTE_TASKS
from ...evaluation.predictions.core import Predictions
from ...evaluation.results.tables import HEADLINE
from ...schema import AttributeGroup, Label
from .words import words

__all__ = [
    "METRIC_NAMES",
    "TASK_NAMES",
    "attribute_tasks",
    "band_rows",
    "confusion_tables",
    "group_tables",
    "headline_name",
    "headline_rows",
    "metric_cell",
    "other_name",
    "other_tables",
    "pair",
]

Pair = tuple[str, str]

TASK_NAMES: dict[str, Pair] = {
    "attributes": words("detections, by class"),
    "attributes_gt_boxes": words("ground-truth boxes"),
    "attributes_class_agnostic": words("detections, any class"),
}
CHANCE = "mean/majority"  # what knowing nothing scores
_SINGLE = ("accuracy", "balanced_accuracy", "top3", "macro_f1", "ece")
_MULTI = ("micro_f1", "macro_f1", "mAP", "precision_at_recall_50", "precision_at_recall_80", "ece")
METRIC_NAMES: dict[str, Pair] = {
    "accuracy": words("accuracy"),
    "balanced_accuracy": words("balanced accuracy"),
    "top3": ("top-3", "top-3"),
    "macro_f1": ("macro-F1", "macro-F1"),
    "micro_f1": ("micro-F1", "micro-F1"),
    "mAP": ("mAP", "mAP"),
    "precision_at_recall_50": words("precision at recall 50"),
    "precision_at_recall_80": words("precision at recall 80"),
    "ece": words("calibration error"),
    "majority": words("commonest label"),
    "support": words("garments", "count"),
}
_OTHER: dict[str, Pair] = {
    "bbox": words("boxes"),
    "bbox_no_ignore": words("boxes, unknown class not excused"),
    "segm": words("masks"),
    "segm_no_ignore": words("masks, unknown class not excused"),
    "style": words("style"),
    "sub_style": words("sub-style"),
    "iou_f1": words("AP at IoU and F1"),
    "iou_f1_chance": words("F1 of answers that know nothing"),
}


def pair(label: str | AttributeGroup) -> Pair:
    """Return a label's, or a group's, names."""
    return label.text("en"), label.text("ko") if isinstance(label, (Label, AttributeGroup)) else str(label)


def headline_name(name: str) -> Pair:
    """Return a headline number's title; its name is a key of HEADLINE."""
    if name in HEADLINE:
        return words(HEADLINE[name], "headline" if name == "mean/ece" else "")
    title = name.replace("_", " ").replace("/", ", ")
    return title, title


def other_name(task: str) -> Pair:
    """Return the title of a task that is no attribute setting."""
    return _OTHER.get(task, (task.replace("_", " "),) * 2)


def attribute_tasks(document: Mapping[str, Any]) -> list[str]:
    """List the settings that were evaluated, the two that are to be compared first."""
    return [task for task in TASK_NAMES if any(name.startswith(f"{task}/") for name in document["metrics"])]


def metric_cell(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a flat name's "value" and, where there is an interval, "low" and "high"; None of what was not measured."""
    ends = (document.get("intervals") or {}).get(name) or (None, None)
    low, high = (None if x is None or math.isnan(x) else x for x in ends)
    return {"name": name, "value": _value(document, name), "low": low, "high": high}


def _value(document: Mapping[str, Any], name: str) -> float | None:
    value = document["metrics"].get(name)
    return None if value is None or math.isnan(value) else value


def headline_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lay out a row for each headline number that any setting has; the chance level stands below what it belongs to."""
    tasks, rows = attribute_tasks(document), []
    order = list(HEADLINE)
    order.insert(order.index("mean/accuracy") + 1, CHANCE)
    for name in order:
        cells = [metric_cell(document, f"{task}/{name}") for task in tasks]
        if any(cell["value"] is not None for cell in cells):
            is_chance = name == CHANCE
            title = words("always the commonest label") if is_chance else headline_name(name)
            rows.append({"title": title, "cells": cells, "chance": is_chance})
    return rows


def other_tables(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lay out what is no attribute setting: a table for "tasks" with the same metrics, which are its "rows"."""
    by_names: dict[tuple[str, ...], list[str]] = {}
    for task in dict.fromkeys(name.partition("/")[0] for name in document["metrics"]):
        if task in ATTRIBUTE_TASKS:
            continue
        names = [n.partition("/")[2] for n in document["metrics"] if n.startswith(f"{task}/")]
        by_names.setdefault(tuple(n for n in names if "-" not in n), []).append(task)
    return [
        {
            "tasks": [other_name(task) for task in tasks],
            "rows": [
                {"name": name, "cells": [metric_cell(document, f"{task}/{name}") for task in tasks]} for name in names
            ],
        }
        for names, tasks in by_names.items()
        if names
    ]


def group_tables(document: Mapping[str, Any], groups: Sequence[AttributeGroup]) -> list[dict[str, Any]]:
    """
    Lay out for single- and for multi-label groups, where there are any, a row for each group in each setting, those of
    one group together.
    """
    tables = []
    tasks = attribute_tasks(document)
    for is_single, names in ((True, _SINGLE), (False, _MULTI)):
        metrics = ("support", *names[:1], "majority", *names[1:])
        rows = [
            {
                "name": pair(group),
                "task": TASK_NAMES[task],
                "starts": task == tasks[0],
                "cells": [metric_cell(document, f"{task}/{group.name}/{m}") for m in metrics],
            }
            for group in groups
            if group.is_single == is_single
            for task in tasks
        ]
        if rows:
            tables.append({"single": is_single, "metrics": [METRIC_NAMES[m] for m in metrics], "rows": rows})
    return tables


def band_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lay out F1 and AP of head, mid and tail in each setting; empty where the training counts are not known."""
    rows = []
    for task in attribute_tasks(document):
        for band in BANDS:
            cells = {
                name: metric_cell(document, f"{task}/{band}/{name}") for name in ("f1", "single_f1", "multi_f1", "AP")
            }
            labels = _value(document, f"{task}/{band}/labels")
            if labels is not None:
                rows.append({"task": TASK_NAMES[task], "band": band, "labels": int(labels), **cells})
    return rows


def _matrix(counts: np.ndarray, names: Sequence[Pair], last: Pair) -> dict[str, Any]:
    totals = counts.sum(axis=1)
    columns = [*names, last] if counts[:, -1].any() else list(names)
    return {
        "columns": columns,
        "rows": [
            {
                "name": name,
                "total": int(total),
                "cells": [{"count": int(c), "share": int(c) / int(total)} for c in row[: len(columns)]],
            }
            for name, row, total in zip(names, counts, totals, strict=True)
            if total
        ],
        "total": int(totals.sum()),
    }


def confusion_tables(predictions: Predictions, findings: Findings) -> list[dict[str, Any]]:
    """Lay out the confusion matrices of the classes and of each single-label group of which anything is known."""
    tables = []
    if findings.class_confusion is not None:
        names = [pair(label) for label in predictions.info.class_names]
        tables.append({"group": words("class"), **_matrix(findings.class_confusion, names, words("not found"))})
    for group in predictions.schema.groups:
        if group.name in findings.confusions:
            names = [pair(label) for label in group.labels]
            tables.append({"group": pair(group), **_matrix(findings.confusions[group.name], names, words("no answer"))})
    return tables
