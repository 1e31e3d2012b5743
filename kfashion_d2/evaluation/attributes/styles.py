"""
This module measures how well style scores agree with the images' styles, over what is labelled only.

Shapes: N images, S styles. All results are percentages but the counts, and plain floats; NaN where there is nothing to
measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from ...schema import AttributeSchema

__all__ = ["evaluate_styles", "style_table"]

_METRICS = ("top1", "top3", "macro_f1", "majority", "support")


def evaluate_styles(scores: Any, targets: Any, names: Sequence[str]) -> dict[str, float]:
    """
    Score images against their style. Of equal scores the style that comes first in `names` ranks higher; a row whose
    scores are all 0 has no answer, which is wrong.

    - ``top1``, ``top3``: images whose style is the best, or among the three best. Top-1 is the accuracy.
    - ``macro_f1``: mean F1 of the styles that occur, as scikit-learn's ``f1_score(average="macro", labels=<those>)``.
    - ``majority``: top-1 of answering every image with the commonest style.
    - ``support``: images whose style is known; the others take no part in anything.
    - ``F1-<name>`` of each style; NaN of one that does not occur.

    Args:
        scores: float (N, S), 0 to 1. A NaN counts as 0, so that a model that diverged scores badly and goes on.
        targets: int (N,), -1 unknown.
        names: of the S styles.

    Raises:
        ValueError: the arrays' shapes do not fit, or a target is not a style.
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.shape != (len(targets), len(names)) or targets.ndim != 1:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape} must be (N, {len(names)}) and (N,)")
    if len(targets) and not -1 <= targets.min() <= targets.max() < len(names):
        raise ValueError(f"targets go from {targets.min()} to {targets.max()}, but there are {len(names)} styles")
    known = targets >= 0
    scores, targets = np.nan_to_num(scores[known], nan=0.0), targets[known]
    support = len(targets)
    if not support:
        return {**dict.fromkeys(_METRICS[:-1], math.nan), "support": 0.0, **{f"F1-{n}": math.nan for n in names}}
    order = np.argsort(-scores, axis=1, kind="stable")
    order[~scores.any(axis=1)] = -1
    hits = order[:, :3] == targets[:, None]
    occurs, answered, right = (
        np.bincount(x, minlength=len(names)) for x in (targets, order[order[:, 0] >= 0, 0], targets[hits[:, 0]])
    )
    with np.errstate(invalid="ignore"):
        f1 = np.where(occurs > 0, 200 * right / (occurs + answered), math.nan)
    return {
        "top1": 100 * float(hits[:, 0].mean()),
        "top3": 100 * float(hits.any(axis=1).mean()),
        "macro_f1": float(np.nanmean(f1)),
        "majority": 100 * float(occurs.max() / support),
        "support": float(support),
        **{f"F1-{name}": float(value) for name, value in zip(names, f1, strict=True)},
    }


def style_table(results: Mapping[str, Mapping[str, float]], schema: AttributeSchema, language: str = "en") -> str:
    """
    Lay out the metrics of styles for people: a line for the style and one for the sub-style, then the F1 of each
    style.

    Args:
        results: "style" and "sub_style" (either may be missing) -> what :func:`evaluate_styles` returned.
        language: of the styles' names, "en" or "ko".

    Returns:
        str: lines of text; "-" where there is nothing to measure.
    """
    titles = [task.replace("_", "-") for task in results]
    rows = [[title, *_cells(values, _METRICS)] for title, values in zip(titles, results.values(), strict=True)]
    whole = tabulate(rows, headers=["", "top-1", "top-3", "macro-F1", "majority", "support"], **_FORMAT)
    rows = [
        [style.text(language), *(cell for values in results.values() for cell in _cells(values, [f"F1-{style.name}"]))]
        for style in schema.styles.labels
    ]
    return f"{whole}\n\n{tabulate(rows, headers=['', *(f'{title} F1' for title in titles)], **_FORMAT)}"


_FORMAT: dict[str, Any] = {"tablefmt": "simple", "floatfmt": ".1f", "missingval": "-"}


def _cells(values: Mapping[str, float], metrics: Sequence[str]) -> list[float | int | None]:
    """Return the values of some metrics; None where there is no value."""
    cells = [(metric, values.get(metric, math.nan)) for metric in metrics]
    return [None if math.isnan(value) else int(value) if metric == "support" else value for metric, value in cells]
