"""
This module writes compare.html: runs beside each other, with the differences from the first one; one self-contained
page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...evaluation.results.comparison import Comparison
from ...evaluation.results.comparison_table import comparison_rows
from ...schema import AttributeSchema
from .evaluation_tables import METRIC_NAMES, TASK_NAMES, headline_name, other_name, pair
from .render import number, render_page
from .words import words

__all__ = ["write_comparison_report"]

# Metrics of which less is better.
_ERRORS = ("ece",)


def _cells(comparison: Comparison, name: str) -> dict[str, Any]:
    """Lay out a metric's values, and for each run but the first its difference and how it is shown."""
    differences = []
    for by_name in comparison.differences:
        difference = by_name.get(name)
        if difference is None or math.isnan(difference.value):
            differences.append({"value": None, "low": None, "high": None, "look": ""})
            continue
        better = (difference.value > 0) != (name.rpartition("/")[2] in _ERRORS)
        is_shown = float(number(difference.value)) != 0  # what rounds to 0.0 is neither better nor worse
        look = ("better" if better else "worse") if difference.exceeds and is_shown else ""
        is_sure = difference.exceeds is not None
        low, high = (difference.low, difference.high) if is_sure else (None, None)
        differences.append({"value": difference.value, "low": low, "high": high, "look": look})
    intervals = [(run.document.get("intervals") or {}).get(name) or (None, None) for run in comparison.runs]
    values = [
        {
            "name": name,
            "value": None if math.isnan(value) else value,
            **{end: None if x is None or math.isnan(x) else x for end, x in zip(("low", "high"), ends, strict=True)},
        }
        for value, ends in zip(comparison.values[name], intervals, strict=True)
    ]
    return {"name": name, "values": values, "differences": differences}


def _group_names(schema: AttributeSchema | None) -> dict[str, tuple[str, str]]:
    return {group.name: pair(group) for group in schema.groups} if schema else {}


def _rows(comparison: Comparison, names: Iterable[str], schema: AttributeSchema | None) -> list[dict[str, Any]]:
    groups = _group_names(schema)
    rows = []
    for name in names:
        task, _, metric = name.partition("/")
        group, _, group_metric = metric.partition("/")
        if task not in TASK_NAMES:
            where, what = other_name(task), (metric.replace("_", " "),) * 2
        elif group_metric and group not in ("mean", "head", "mid", "tail"):
            title, metric_name = groups.get(group, (group, group)), METRIC_NAMES.get(group_metric, (group_metric,) * 2)
            where, what = TASK_NAMES[task], (f"{title[0]}: {metric_name[0]}", f"{title[1]}: {metric_name[1]}")
        else:
            where, what = TASK_NAMES[task], headline_name(metric)
        rows.append({"where": where, "what": what, **_cells(comparison, name)})
    return rows


def _label_rows(comparison: Comparison, schema: AttributeSchema | None) -> list[dict[str, Any]]:
    """Lay out F1 of every label in the settings that all runs have; the differences have no intervals."""
    groups = _group_names(schema)
    documents = [run.document for run in comparison.runs]
    rows = []
    for task in TASK_NAMES:
        if not all(task in document.get("labels", {}) for document in documents):
            continue
        tables = [{(row["group"], row["label"]): row for row in document["labels"][task]} for document in documents]
        for key, first in tables[0].items():
            values = [table.get(key, {}).get("f1") for table in tables]
            values = [None if value is None or math.isnan(value) else value for value in values]
            if all(value is None for value in values):
                continue
            base = values[0]
            rows.append(
                {
                    "where": TASK_NAMES[task],
                    "name": (first["label"], first["korean"]),
                    "group": groups.get(key[0], (key[0].replace("_", " "),) * 2),
                    "support": first["support"],
                    "values": values,
                    "differences": [None if base is None or v is None else v - base for v in values[1:]],
                }
            )
    return rows


def write_comparison_report(
    path: str | Path,
    comparison: Comparison,
    *,
    language: str = "en",
    title: str | None = None,
) -> None:
    """
    Write a comparison of runs as one HTML page.

    Args:
        path: of the HTML file.
        comparison: of :func:`kfashion_d2.evaluation.compare_runs`.
        language: "en" or "ko", in which it opens; a switch changes it.
        title: the page's heading.

    Raises:
        ValueError: there is no such language.
    """
    schema = next((run.predictions.schema for run in comparison.runs if run.predictions is not None), None)
    first = comparison.runs[0]
    render_page(
        path,
        "comparison_report.html.j2",
        language=language,
        heading=(title, title) if title else words("Runs side by side"),
        runs=comparison.runs,
        first=first,
        methods=list(zip(comparison.runs[1:], comparison.methods, strict=True)),
        notes=comparison.notes,
        confidence=100 * comparison.confidence,
        tables=[
            ("headline", words("Headline"), _rows(comparison, comparison_rows(comparison, headline=True), schema)),
            ("groups", words("Groups"), _rows(comparison, comparison_rows(comparison, headline=False), schema)),
        ],
        labels=_label_rows(comparison, schema),
    )
