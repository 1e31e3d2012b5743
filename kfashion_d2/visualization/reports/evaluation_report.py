"""
This module writes report.html: one self-contained page over an evaluation, for a browser. Nothing is loaded from
anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...evaluation.analysis.findings import Findings
from ...evaluation.evaluate import Evaluation
from ...evaluation.predictions.core import Predictions
from ...schema import CATEGORY_GROUP
from ..drawing.fonts import resolve_language
from .evaluation_charts import pr_panel, reliability_panel
from .evaluation_pictures import EvaluationPictures
from .evaluation_tables import (
    TASK_NAMES,
    attribute_tasks,
    band_rows,
    confusion_tables,
    group_tables,
    headline_rows,
    metric_cell,
    other_tables,
    pair,
)
from .render import render_page
from .words import words

__all__ = ["write_evaluation_report"]

SUSPECTS = 40


def _label_rows(document: Mapping[str, Any], predictions: Predictions, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Lay out a row for each label in each setting, those of one label together."""
    groups = {group.name: pair(group) for group in predictions.schema.groups}
    return [
        {
            "group": groups[numbers["group"]],
            "name": (numbers["label"], numbers["korean"]),
            "train_count": numbers["train_count"],
            "band": numbers["band"],
            "task": TASK_NAMES[task],
            "starts": task == tasks[0],
            "numbers": numbers,
        }
        for by_task in zip(*(document["labels"][task] for task in tasks), strict=True)
        for task, numbers in zip(tasks, by_task, strict=True)
    ]


def _curves(predictions: Predictions, evaluation: Evaluation, findings: Findings) -> tuple[list, list]:
    """Lay out precision-recall panels of the multi-label groups' labels, and reliability panels of all groups."""
    table = evaluation.tables[findings.task]
    curves, reliability = [], []
    for group in predictions.schema.groups:
        if group.name in findings.reliability:
            ece = evaluation.metrics[findings.task][f"{group.name}/ece"]
            bars = reliability_panel(findings.reliability[group.name])
            reliability.append({"group": pair(group), "bars": bars, "ece": ece})
        panels = []
        for i, label in enumerate(group.labels, start=predictions.schema.slice(group.name).start):
            if i in findings.curves:
                panel = pr_panel(findings.curves[i], float(findings.thresholds[i]))
                ap = 100 * float(table.average_precision[i])
                panels.append({**panel, "name": pair(label), "AP": ap, "support": int(table.support[i])})
        if panels:
            curves.append({"group": pair(group), "panels": sorted(panels, key=lambda panel: -panel["support"])})
    return curves, reliability


def _error_rows(document: Mapping[str, Any], predictions: Predictions) -> dict[str, Any] | None:
    """Lay out the error summary with names in both languages; None where the document has none."""
    errors = document.get("errors")
    if errors is None:
        return None

    def bars(counts: Mapping[str, float]) -> list[dict[str, Any]]:
        most = max([abs(x) for x in counts.values() if x == x], default=0) or 1
        return [
            {
                "name": words(kind),
                "value": None if value != value else value,
                "share": 0 if value != value else max(value, 0) / most,
            }
            for kind, value in counts.items()
        ]

    groups = {group.name: pair(group) for group in predictions.schema.groups}
    lost = {kind: value for kind, value in errors["points_lost"].items() if kind != "AP"}
    return {
        "AP": errors["points_lost"]["AP"],
        "lost": bars(lost),
        "garments": bars(errors["garments"]),
        "detections": bars(errors["detections"]),
        "groups": [
            {"name": groups.get(name, (name, name)), **counts, "share": 100 * counts["wrong"] / counts["known"]}
            for name, counts in errors["wrong_groups"].items()
            if counts["known"]
        ],
        "score_threshold": errors["score_threshold"],
    }


def _mistakes(
    predictions: Predictions, evaluation: Evaluation, findings: Findings, pictures: EvaluationPictures | None
) -> list[dict[str, Any]]:
    """Lay out the most confident mistakes of each group, as crops with captions."""
    matches = evaluation.matches.get(findings.task)
    groups = []
    for group in predictions.schema.groups:
        items = []
        columns = (column.tolist() for column in findings.mistakes[group.name])
        for garment, truth, answer, confidence in zip(*columns, strict=True):
            detection = -1 if matches is None else int(matches[garment])
            items.append(
                {
                    "picture": pictures.crop(garment, detection) if pictures else None,
                    "image_id": int(predictions.image_ids[predictions.gt_images[garment]]),
                    "truth": words("not this one") if truth < 0 else pair(group.labels[truth]),
                    "answer": words("not this one") if answer < 0 else pair(group.labels[answer]),
                    "confidence": confidence,
                }
            )
        if items:
            groups.append({"group": pair(group), "items": items})
    return groups


def _whole_images(
    predictions: Predictions, findings: Findings, pictures: EvaluationPictures | None, language: str
) -> dict[str, list[dict[str, Any]]]:
    """Lay out the best and the worst images."""
    least = findings.errors.score_threshold
    return {
        kind: [
            {
                "image_id": int(predictions.image_ids[row]),
                "score": 100 * float(findings.image_scores[row]),
                "picture": pictures.comparison(int(row), language, least) if pictures else None,
            }
            for row in rows.tolist()
        ]
        for kind, rows in (("best", findings.best_images), ("worst", findings.worst_images))
    }


def _suspects(
    predictions: Predictions, findings: Findings, pictures: EvaluationPictures | None
) -> list[dict[str, Any]]:
    """Lay out the first suspects, with crops."""
    groups = {CATEGORY_GROUP: words("class"), **{g.name: pair(g) for g in predictions.schema.groups}}
    rows = findings.suspects.rows(SUSPECTS)
    for row, garment in zip(rows, findings.suspects.garments.tolist(), strict=False):
        row["group_name"] = groups[row["group"]]
        row["picture"] = pictures.crop(garment) if pictures else None
        for name in ("given", "suggested"):
            row[f"{name}_name"] = words("not this one") if row[name] is None else (row[name], row[f"{name}_korean"])
    return rows


def _style_rows(document: Mapping[str, Any], predictions: Predictions) -> list[dict[str, Any]]:
    """Lay out F1 of each style and sub-style; no rows for a model that predicts none."""
    tasks = [task for task in ("style", "sub_style") if f"{task}/top1" in document["metrics"]]
    labels = predictions.schema.styles.labels if tasks else ()
    return [
        {"name": pair(style), "cells": [metric_cell(document, f"{task}/F1-{style.name}") for task in tasks]}
        for style in labels
    ]


def write_evaluation_report(
    path: str | Path,
    predictions: Predictions,
    evaluation: Evaluation,
    document: Mapping[str, Any],
    findings: Findings,
    *,
    dataset: Sequence[Mapping[str, Any]] | None = None,
    read_bytes: Callable[[str], bytes] | None = None,
    language: str = "en",
    title: str | None = None,
) -> None:
    """
    Write an evaluation as one HTML page, which shows what it is given and computes nothing.

    Args:
        path: of the HTML file.
        predictions, evaluation: what was evaluated, and what came out.
        document: of :func:`metrics_document`: the numbers shown are its.
        findings: of :func:`kfashion_d2.evaluation.analysis.findings.find_all`.
        dataset: dataset dicts by image index, and
        read_bytes: `file_name` -> the image file's content; without both there are no pictures, and the page says so.
            With pictures it says whose terms the photographs fall under.
        language: "en" or "ko": what the page opens in (a switch changes it), and that of the words in its pictures.
        title: the page's heading.

    Raises:
        ValueError: there is no such language.
    """
    picture_language = resolve_language(language)
    pictures = None if dataset is None or read_bytes is None else EvaluationPictures(predictions, dataset, read_bytes)
    tasks = attribute_tasks(document)
    curves, reliability = _curves(predictions, evaluation, findings)
    mistakes = _mistakes(predictions, evaluation, findings, pictures)
    images = _whole_images(predictions, findings, pictures, picture_language)
    suspects = _suspects(predictions, findings, pictures)
    by_class = [
        {"name": pair(label), "cells": [metric_cell(document, f"{kind}/AP-{label}") for kind in ("bbox", "segm")]}
        for label in predictions.info.class_names
    ]
    render_page(
        path,
        "evaluation_report.html.j2",
        language=language,
        heading=(title, title) if title else words("Evaluation: {dataset}", dataset=document["dataset"]),
        document=document,
        tasks=[TASK_NAMES[name] for name in tasks],
        chosen=TASK_NAMES[findings.task],
        headline=headline_rows(document),
        others=other_tables(document),
        groups=group_tables(document, predictions.schema.groups),
        labels=_label_rows(document, predictions, tasks),
        by_class=[row for row in by_class if any(cell["value"] is not None for cell in row["cells"])],
        has_masks=any(name.startswith("segm/") for name in document["metrics"]),
        bands=band_rows(document),
        confusions=confusion_tables(predictions, findings),
        curves=curves,
        reliability=reliability,
        errors=_error_rows(document, predictions),
        mistakes=mistakes,
        images=images,
        suspects=suspects,
        num_suspects=len(findings.suspects),
        styles=_style_rows(document, predictions),
        has_pictures=pictures is not None,
        num_drawn=pictures.num_drawn if pictures else 0,
        num_unreadable=pictures.num_unreadable if pictures else 0,
    )
