"""This module lays out a comparison of runs as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tabulate import tabulate

from ..evaluate import ATTRIBUTE_TASKS
from .comparison import Comparison, Difference
from .tables import HEADLINE, SHOWN

__all__ = ["comparison_rows", "comparison_table", "difference_text", "metric_title"]

# The same for every model on a split, or said by another task.
_LEFT_OUT = ("iou_f1_chance", "bbox_no_ignore", "segm_no_ignore")


def metric_title(name: str) -> str:
    """Name a flat metric for people: "accuracy (detections, by class)"."""
    task, _, metric = name.partition("/")
    if task in ATTRIBUTE_TASKS:
        return f"{HEADLINE.get(metric, metric.replace('_', ' ').replace('/', ', '))} ({ATTRIBUTE_TASKS[task]})"
    return f"{task.replace('_', ' ')} {metric.replace('_', ' ').replace('/', ', ')}"


def difference_text(difference: Difference | None) -> str:
    """Write a difference as "+1.2 (+0.4 to +2.0) *", with a star where 0 lies outside the interval."""
    if difference is None or math.isnan(difference.value):
        return ""
    text = f"{difference.value:+.1f}"
    if difference.exceeds is not None:
        text += f" ({difference.low:+.1f} to {difference.high:+.1f})" + (" *" if difference.exceeds else "")
    return text


def comparison_rows(comparison: Comparison, *, headline: bool) -> Iterator[str]:
    """
    List the flat names to show that any run has a value of: the headline and the single numbers of the other tasks; or
    else what is measured of each group.
    """
    tasks = dict.fromkeys(name.partition("/")[0] for name in comparison.values)
    order = {name: i for i, name in enumerate(HEADLINE)}
    for task in tasks:
        names = [name.partition("/")[2] for name in comparison.values if name.startswith(f"{task}/")]
        if task in ATTRIBUTE_TASKS:
            group_names = [n for n in names if "/" in n and n.partition("/")[0] not in ("mean", "head", "mid", "tail")]
            names = sorted(order.keys() & names, key=order.__getitem__) if headline else group_names
        elif headline and task not in _LEFT_OUT:
            names = [n for n in names if "-" not in n and n in SHOWN.get(task, names)]
        else:
            continue
        for name in names:
            measured = any(not math.isnan(value) for value in comparison.values[f"{task}/{name}"])
            if measured and name.rpartition("/")[2] != "support":
                yield f"{task}/{name}"


def comparison_table(comparison: Comparison, *, groups: bool = False) -> str:
    """
    Lay out the headline of a comparison.

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
        cells += [difference_text(differences.get(name)) for differences in comparison.differences]
        rows.append([metric_title(name), *cells])
    headers = ["percent", *names, *(f"{name} - {names[0]}" for name in names[1:])]
    lines = [tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True), ""]
    for name, method in zip(names[1:], comparison.methods, strict=True):
        how = f"{100 * comparison.confidence:g} % interval, {method}; * 0 lies outside" if method else "no intervals"
        lines.append(f"{name} - {names[0]}: {how}")
    return "\n".join([*lines, *comparison.notes])
