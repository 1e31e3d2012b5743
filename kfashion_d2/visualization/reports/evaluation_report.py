"""report.html: one self-contained page over an evaluation, for a browser. Nothing is loaded from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...evaluation import (
    Evaluation,
    Predictions,
    analyze_errors,
    answer_confidences,
    find_suspects,
    task_rows,
    threshold_row,
)
from ...evaluation.analysis.mistakes import best_and_worst, confident_mistakes, image_scores
from ...schema import CATEGORY_GROUP
from ..drawing.fonts import resolve_language
from .evaluation_charts import pr_panel, reliability_panel
from .evaluation_pictures import EvaluationPictures
from .evaluation_tables import (
    TASK_NAMES,
    attribute_tasks,
    band_rows,
    class_confusion,
    confusions,
    group_tables,
    headline_rows,
    metric_cell,
    other_tables,
    pair,
)
from .render import render_page

__all__ = ["write_evaluation_report"]

MISTAKES = 6  # of each group
IMAGES = 4  # best, and as many worst
SUSPECTS = 40
SHOWN_SCORE = 0.5  # least score of a detection that is looked at one by one


def _label_rows(document: Mapping[str, Any], predictions: Predictions, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each label, with its numbers in every setting."""
    labels = document["labels"]
    groups = {group.name: pair(group) for group in predictions.schema.groups}
    rows = []
    for of_tasks in zip(*(labels[task] for task in tasks), strict=True):
        first = of_tasks[0]
        rows.append(
            {
                "group": groups[first["group"]],
                "name": (first["label"], first["korean"]),
                "train_count": first["train_count"],
                "band": first["band"],
                "tasks": of_tasks,
            }
        )
    return rows


def _curves(predictions: Predictions, evaluation: Evaluation, task: str) -> tuple[list, list]:
    """Precision-recall panels of the multi-label groups' labels, reliability panels of all groups."""
    _, scores, targets = task_rows(predictions, task, evaluation.matches)
    least = threshold_row(predictions.info.threshold, predictions.schema)
    table = evaluation.tables[task]
    curves, reliability = [], []
    for group in predictions.schema.groups:
        columns = predictions.schema.slice(group.name)
        group_scores, group_targets = np.nan_to_num(scores[:, columns]), targets[:, columns]
        bars = reliability_panel(*answer_confidences(group_scores, group_targets, group.is_single))
        if bars:
            ece = evaluation.metrics[task][f"{group.name}/ece"]
            reliability.append({"group": pair(group), "bars": bars, "ece": ece})
        if group.is_single:
            continue
        panels = []
        for i, label in enumerate(group.labels):
            at = columns.start + i
            panel = pr_panel(scores[:, at], targets[:, at], float(least[at]))
            if panel is not None:
                ap = 100 * float(table.average_precision[at])
                panels.append({**panel, "name": pair(label), "AP": ap, "support": int(table.support[at])})
        if panels:
            curves.append({"group": pair(group), "panels": sorted(panels, key=lambda panel: -panel["support"])})
    return curves, reliability


def _error_rows(document: Mapping[str, Any], predictions: Predictions) -> dict[str, Any] | None:
    """The error summary with names in both languages; None where the document has none."""
    errors = document.get("errors")
    if errors is None:
        return None
    korean = {
        "right": "맞음",
        "poor box": "부정확한 박스",
        "wrong class": "잘못된 클래스",
        "duplicate": "중복",
        "background": "배경",
        "other": "기타 (클래스와 박스 모두)",
        "missed": "놓침",
        "wrong attributes": "잘못된 속성",
        "unknown class": "클래스 미상",
        "excused": "제외 (클래스 미상 의류 위)",
    }

    def bars(counts: Mapping[str, float]) -> list[dict[str, Any]]:
        most = max([abs(x) for x in counts.values() if x == x], default=0) or 1
        return [
            {
                "name": (kind, korean.get(kind, kind)),
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
            {"name": groups.get(name, (name, name)), **found, "share": 100 * found["wrong"] / found["known"]}
            for name, found in errors["wrong_groups"].items()
            if found["known"]
        ],
        "score_threshold": errors["score_threshold"],
    }


_NOTHING = ("not this one", "이 라벨 아님")


def _mistakes(
    predictions: Predictions, evaluation: Evaluation, task: str, pictures: EvaluationPictures | None
) -> list[dict[str, Any]]:
    """The most confident mistakes of each group, as crops with captions."""
    rows, scores, targets = task_rows(predictions, task, evaluation.matches)
    least = threshold_row(predictions.info.threshold, predictions.schema)
    found = []
    for group in predictions.schema.groups:
        columns = predictions.schema.slice(group.name)
        mistakes = confident_mistakes(
            rows, scores[:, columns], targets[:, columns], group.is_single, least[columns], MISTAKES
        )
        items = []
        for garment, truth, answer, confidence in zip(*(x.tolist() for x in mistakes), strict=True):
            detection = evaluation.matches[task][garment] if task in evaluation.matches else -1
            missing = group.labels[truth] if truth >= 0 else None
            items.append(
                {
                    "picture": pictures.crop(garment, int(detection)) if pictures else None,
                    "image_id": int(predictions.image_ids[predictions.gt_images[garment]]),
                    "truth": _NOTHING if missing is None else pair(missing),
                    "answer": _NOTHING if answer < 0 else pair(group.labels[answer]),
                    "confidence": confidence,
                }
            )
        if items:
            found.append({"group": pair(group), "items": items})
    return found


def _whole_images(
    predictions: Predictions, errors: Any, pictures: EvaluationPictures | None, language: str
) -> dict[str, list[dict[str, Any]]]:
    """The best and the worst images."""
    scores = image_scores(predictions, errors)
    return {
        kind: [
            {
                "image_id": int(predictions.image_ids[row]),
                "score": 100 * float(scores[row]),
                "picture": pictures.comparison(int(row), language, errors.score_threshold) if pictures else None,
            }
            for row in rows.tolist()
        ]
        for kind, rows in zip(("best", "worst"), best_and_worst(predictions, scores, IMAGES), strict=True)
    }


def _suspects(
    predictions: Predictions, iou_threshold: float, pictures: EvaluationPictures | None
) -> tuple[list[dict[str, Any]], int]:
    """The first suspects, with crops; and how many there are in all."""
    suspects = find_suspects(predictions, iou_threshold=iou_threshold)
    groups = {CATEGORY_GROUP: ("class", "클래스"), **{g.name: pair(g) for g in predictions.schema.groups}}
    rows = suspects.rows(SUSPECTS)
    for row, garment in zip(rows, suspects.garments.tolist(), strict=False):
        row["group_name"] = groups[row["group"]]
        row["picture"] = pictures.crop(garment) if pictures else None
        for name in ("given", "suggested"):
            row[f"{name}_name"] = _NOTHING if row[name] is None else (row[name], row[f"{name}_korean"])
    return rows, len(suspects)


def _style_rows(document: Mapping[str, Any], predictions: Predictions) -> list[dict[str, Any]]:
    """F1 of each style and sub-style; empty of a model without."""
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
    *,
    dataset: Sequence[Mapping[str, Any]] | None = None,
    read_image: Callable[[str], bytes] | None = None,
    language: str = "en",
    title: str | None = None,
) -> None:
    """
    Args:
        path: of the HTML file.
        predictions, evaluation: what was evaluated, and what came out.
        document: of :func:`metrics_document`: the numbers shown are its.
        dataset: dataset dicts by image index, and
        read_image: `file_name` -> the image file's content; without both there are no pictures, and the page says so.
            With pictures it says whose terms the photographs fall under.
        language: "en" or "ko": what the page opens in (a switch changes it), and that of the words in its pictures.
        title: the page's heading.

    Raises:
        ValueError: there is no such language.
    """
    picture_language = resolve_language(language)
    pictures = None if dataset is None or read_image is None else EvaluationPictures(predictions, dataset, read_image)
    tasks = attribute_tasks(document)
    task = "attributes_gt_boxes" if "attributes_gt_boxes" in tasks else "attributes"
    curves, reliability = _curves(predictions, evaluation, task)
    errors = analyze_errors(predictions, score_threshold=SHOWN_SCORE, iou_threshold=evaluation.iou_threshold)
    mistakes = _mistakes(predictions, evaluation, task, pictures)
    images = _whole_images(predictions, errors, pictures, picture_language)
    suspects, num_suspects = _suspects(predictions, evaluation.iou_threshold, pictures)
    classes = class_confusion(predictions, evaluation)
    by_class = [
        {"name": pair(label), "cells": [metric_cell(document, f"{kind}/AP-{label}") for kind in ("bbox", "segm")]}
        for label in predictions.info.class_names
    ]
    render_page(
        path,
        "evaluation_report.html.j2",
        language=language,
        heading=(title, title) if title else (f"Evaluation: {document['dataset']}", f"평가: {document['dataset']}"),
        document=document,
        tasks=[TASK_NAMES[name] for name in tasks],
        chosen=TASK_NAMES[task],
        headline=headline_rows(document),
        others=other_tables(document),
        groups=group_tables(document, predictions.schema.groups),
        labels=_label_rows(document, predictions, tasks),
        by_class=[row for row in by_class if any(cell["value"] is not None for cell in row["cells"])],
        has_masks=any(name.startswith("segm/") for name in document["metrics"]),
        bands=band_rows(document),
        confusions=([classes] if classes else []) + confusions(predictions, evaluation, task),
        curves=curves,
        reliability=reliability,
        errors=_error_rows(document, predictions),
        mistakes=mistakes,
        images=images,
        suspects=suspects,
        num_suspects=num_suspects,
        styles=_style_rows(document, predictions),
        has_pictures=pictures is not None,
        num_drawn=pictures.num_drawn if pictures else 0,
        num_unreadable=pictures.num_unreadable if pictures else 0,
    )
