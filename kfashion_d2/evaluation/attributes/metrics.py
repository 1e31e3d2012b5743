"""
This module measures how well attribute scores agree with labels, over what is labelled only.

Shapes: N garments, L labels in all groups together, K labels of one group. Targets are int8: 1 yes, 0 no, -1 unknown.
All results are percentages but the counts, and plain floats; NaN where there is nothing to measure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from ...schema import UNKNOWN, AttributeSchema
from ...utils.arrays import mean_of_measured
from .ranking import average_precision

__all__ = ["attribute_table", "evaluate_attributes", "single_answers", "threshold_row"]

_NAN = float("nan")
_TASKS = {"attributes": "detections", "attributes_gt_boxes": "GT boxes"}
_COLUMNS = {
    "single": ("accuracy", "majority", "gain", "macro_f1", "support"),
    "multi": ("mAP", "micro_f1", "majority", "macro_f1", "support"),
}
_MEANS = {"single": ("accuracy", "majority", "gain", "macro_f1"), "multi": ("mAP", "micro_f1")}


def threshold_row(threshold: float | Mapping[str, float | Sequence[float]], schema: AttributeSchema) -> np.ndarray:
    """
    Return the least score of each label.

    Args:
        threshold: one number; or for each group a number, or a list of one for each of its labels (0.5 where a group
            is not named; names of other groups are ignored).
        schema: whose labels.

    Returns:
        float64 (L,).

    Raises:
        ValueError: a list is not as long as its group.
    """
    row = np.full(schema.num_labels, 0.5)
    if not isinstance(threshold, Mapping):
        row[:] = threshold
        return row
    for group in schema.groups:
        values = np.asarray(threshold.get(group.name, 0.5), dtype=np.float64)
        if values.ndim and values.shape != (group.num_labels,):
            raise ValueError(f"{values.size} thresholds for group {group.name!r}, which has {group.num_labels} labels")
        row[schema.slice(group.name)] = values
    return row


def single_answers(scores: np.ndarray) -> np.ndarray:
    """
    Return the label of the best score of float (N, K), the first of equals; -1 of a row that is all 0. int64 (N,).
    """
    return np.where(scores.any(axis=1), scores.argmax(axis=1), -1)


def evaluate_attributes(
    scores: Any,
    targets: Any,
    schema: AttributeSchema,
    threshold: float | Mapping[str, float | Sequence[float]] = 0.5,
) -> dict[str, float]:
    """
    Score garments against their labels, group by group. What is unknown takes no part in anything.

    Single-label groups, over the rows whose label is known; the answer is the label of the best score. A row of
    scores that are all 0 (the group does not apply to the predicted garment) has no answer, which is wrong.

    - ``<group>/accuracy``: rows answered right.
    - ``<group>/macro_f1``: mean F1 of the labels that occur in the ground truth, as scikit-learn's
      ``f1_score(average="macro", labels=<those>)``.
    - ``<group>/majority``: the accuracy of answering every row with the commonest ground-truth label.

    Multi-label groups, over the entries that are known; an answer is every label whose score reaches the threshold.

    - ``<group>/mAP``: mean average precision of the labels that are somewhere true, as scikit-learn's
      ``average_precision_score``.
    - ``<group>/micro_f1``: F1 of all entries together.
    - ``<group>/macro_f1``: mean F1 of the labels that are somewhere true.
    - ``<group>/majority``: micro F1 of answering every row with the commonest ground-truth label alone.

    Both: ``<group>/support``, the rows with a known label (single) or a known entry (multi); without one the group's
    metrics are NaN. Over the groups that have a value: ``mean/accuracy``, ``mean/majority``, ``mean/gain`` (accuracy
    less majority) and ``mean/macro_f1`` of the single-label groups, ``mean/mAP`` and ``mean/micro_f1`` of the
    multi-label ones. A schema without groups of a kind has no means for it.

    Args:
        scores: float (N, L), 0 to 1. A NaN counts as 0, so that a model that diverged scores badly and goes on.
        targets: int8 (N, L).
        schema: the groups of the L columns.
        threshold: the least score of a multi-label answer; see :func:`threshold_row`.

    Raises:
        ValueError: the arrays' shapes do not fit, or a row of a single-label group is known and has not one label.
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.shape != targets.shape or scores.ndim != 2 or scores.shape[1] != schema.num_labels:
        raise ValueError(
            f"scores {scores.shape} and targets {targets.shape} must both be (N, {schema.num_labels}), "
            f"the labels of schema {schema.name!r}"
        )
    results: dict[str, float] = {}
    # In the scores' own type: 0.9 as float16 is a little less than 0.9, and still reaches it.
    least = threshold_row(threshold, schema).astype(scores.dtype if scores.dtype.kind == "f" else np.float64)
    for group in schema.groups:
        columns = schema.slice(group.name)
        group_scores = np.nan_to_num(scores[:, columns], nan=0.0, posinf=np.inf, neginf=-np.inf)
        if group.is_single:
            metrics = _evaluate_single(group_scores, targets[:, columns], group.name)
        else:
            metrics = _evaluate_multi(group_scores, targets[:, columns], least[columns])
        results.update({f"{group.name}/{name}": float(value) for name, value in metrics.items()})
    results.update(_means(results, schema))
    return results


def _evaluate_single(scores: np.ndarray, targets: np.ndarray, name: str) -> dict[str, float]:
    known = (targets != UNKNOWN).all(axis=1)
    scores, targets = scores[known], targets[known]
    support = len(targets)
    if not support:
        return {"accuracy": _NAN, "macro_f1": _NAN, "majority": _NAN, "support": 0.0}
    labels_per_row = (targets == 1).sum(axis=1)
    if (labels_per_row != 1).any():
        row = int(np.flatnonzero(known)[np.argmax(labels_per_row != 1)])
        raise ValueError(f"row {row} of single-label group {name!r} is known, so it needs one label that is 1")
    truth = targets.argmax(axis=1)
    answer = single_answers(scores)
    num_labels = targets.shape[1]
    occurs = np.bincount(truth, minlength=num_labels)
    answered = np.bincount(answer[answer >= 0], minlength=num_labels)
    right = np.bincount(truth[truth == answer], minlength=num_labels)
    return {
        "accuracy": 100 * right.sum() / support,
        "macro_f1": 100 * _macro_f1(right, occurs, answered),
        "majority": 100 * occurs.max() / support,
        "support": support,
    }


def _evaluate_multi(scores: np.ndarray, targets: np.ndarray, threshold: np.ndarray) -> dict[str, float]:
    known = targets != UNKNOWN
    support = int(known.any(axis=1).sum())
    if not support:
        return {"mAP": _NAN, "micro_f1": _NAN, "macro_f1": _NAN, "majority": _NAN, "support": 0.0}
    positive = targets == 1
    answer = (scores >= threshold) & known
    occurs, answered, right = positive.sum(axis=0), answer.sum(axis=0), (positive & answer).sum(axis=0)
    commonest = occurs.argmax()
    return {
        "mAP": 100 * mean_of_measured(average_precision(scores, targets)),
        "micro_f1": 100 * _f1(right.sum(), occurs.sum(), answered.sum()),
        "macro_f1": 100 * _macro_f1(right, occurs, answered),
        "majority": 100 * _f1(occurs[commonest], occurs.sum(), known[:, commonest].sum()),
        "support": support,
    }


def _f1(right: int, occurs: int, answered: int) -> float:
    """Compute F1; NaN where nothing is true and nothing answered: neither good nor bad."""
    return 2 * right / (occurs + answered) if occurs + answered else _NAN


def _macro_f1(right: np.ndarray, occurs: np.ndarray, answered: np.ndarray) -> float:
    """
    Compute macro-F1 from counts (K,) of right answers, of rows where the label is true and of rows answered with it.
    """
    seen = occurs > 0
    return mean_of_measured(2 * right[seen] / (occurs + answered)[seen])


def _means(results: Mapping[str, float], schema: AttributeSchema) -> dict[str, float]:
    means: dict[str, float] = {}
    for kind, metrics in _MEANS.items():
        names = [group.name for group in schema.groups if group.kind == kind]
        for metric in metrics if names else ():
            if metric == "gain":
                means["mean/gain"] = means["mean/accuracy"] - means["mean/majority"]
            else:
                means[f"mean/{metric}"] = mean_of_measured(results[f"{name}/{metric}"] for name in names)
    return means


def attribute_table(results: Mapping[str, Mapping[str, float]], schema: AttributeSchema, language: str = "en") -> str:
    """
    Lay out the metrics of attributes for people: a table of the single-label groups and one of the multi-label groups,
    each on detections and, where they were evaluated, on ground-truth boxes beside them.

    Args:
        results: "attributes" and "attributes_gt_boxes" (either may be missing) -> what
            :func:`evaluate_attributes` returned.
        schema: the groups to show, in their order.
        language: of the groups' names, "en" or "ko".

    Returns:
        str: lines of text; "-" where there is nothing to measure.
    """
    tasks = {task: title for task, title in _TASKS.items() if task in results}
    tables = []
    for kind, metrics in _COLUMNS.items():
        groups = [group for group in schema.groups if group.kind == kind]
        if not groups:
            continue
        header = [f"{kind}-label group"]
        header += [f"{title}\n{metric.replace('_', '-')}" for title in tasks.values() for metric in metrics]
        shown = [results[task] for task in tasks]
        rows = [[group.text(language), *_cells(group.name, shown, metrics)] for group in groups]
        rows.append(["mean", *_cells("mean", shown, [m if m in _MEANS[kind] else "" for m in metrics])])
        tables.append(tabulate(rows, headers=header, tablefmt="simple", floatfmt=".1f", missingval="-"))
    return "\n\n".join(tables)


def _cells(name: str, results: Iterable[Mapping[str, float]], metrics: Sequence[str]) -> list[float | None]:
    """Return the metrics of a group, or of the means, for every task; None where there is no value."""
    cells: list[float | None] = []
    for values in results:
        for metric in metrics:
            value = values.get(f"{name}/{metric}", _NAN)
            if metric == "gain" and name != "mean":
                value = values[f"{name}/accuracy"] - values[f"{name}/majority"]
            cells.append(None if math.isnan(value) else int(value) if metric == "support" else value)
    return cells
