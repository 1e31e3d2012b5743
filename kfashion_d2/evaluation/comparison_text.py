"""A comparison of runs as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tabulate import tabulate

from .comparison import Comparison, Difference
from .metrics_table import HEADLINE
from .prediction_metrics import ATTRIBUTE_TASKS

__all__ = ["comparison_rows", "comparison_table", "difference_text", "metric_title"]


def metric_title(name: str) -> str:
    """A flat name for people: "accuracy (detections, by class)"."""
    task, _, metric = name.partition("/")
    if task in ATTRIBUTE_TASKS:
        return f"{HEADLINE.get(metric, metric.replace('_', ' ').replace('/', ', '))} ({ATTRIBUTE_TASKS[task]})"
    return f"{task.replace('_', ' ')} {metric.replace('_', ' ').replace('/', ', ')}"


def difference_text(difference: Difference | None) -> str:
    """As "+1.2 (+0.4 to +2.0) *", with a star where 0 lies outside the interval."""
    if difference is None or math.isnan(difference.value):
        return ""
    text = f"{difference.value:+.1f}"
    if difference.exceeds is not None:
        text += f" ({difference.low:+.1f} to {difference.high:+.1f})" + (" *" if difference.exceeds else "")
    return text


def comparison_rows(comparison: Comparison, *, headline: bool) -> Iterator[str]:
    """
    The flat names to show that any run has a value of: the headline and the single numbers of the other tasks; or else
    what is measured of each group.
    """
    for name, values in comparison.values.items():
        task, _, metric = name.partition("/")
        if all(math.isnan(value) for value in values) or metric.rpartition("/")[2] in ("support", "labels"):
            continue
        if task in ATTRIBUTE_TASKS:
            of_group = "/" in metric and metric.partition("/")[0] not in ("mean", "head", "mid", "tail")
            if metric in HEADLINE if headline else of_group:
                yield name
        elif headline and "-" not in metric:
            yield name


def comparison_table(comparison: Comparison, *, groups: bool = False) -> str:
    """
    Args:
        groups: with what is measured of each group.
    """
    names = [run.name for run in comparison.runs]
    shown = list(comparison_rows(comparison, headline=True))
    if groups:
        shown += comparison_rows(comparison, headline=False)
    rows = []
    for name in shown:
        cells = ["" if math.isnan(value) else f"{value:.1f}" for value in comparison.values[name]]
        cells += [difference_text(found.get(name)) for found in comparison.differences]
        rows.append([metric_title(name), *cells])
    headers = ["percent", *names, *(f"{name} - {names[0]}" for name in names[1:])]
    lines = [tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True), ""]
    for name, method in zip(names[1:], comparison.methods, strict=True):
        how = f"{100 * comparison.confidence:g} % interval by {method}; * 0 lies outside" if method else "no intervals"
        lines.append(f"{name} - {names[0]}: {how}")
    return "\n".join([*lines, *comparison.notes])
