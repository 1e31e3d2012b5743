"""
This module computes all that is reported of attribute scores: what :func:`evaluate_attributes` says, and more of each
group.

Shapes: N garments, L labels in all groups together, K labels of one group. Results are percentages but the counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...schema import UNKNOWN, AttributeSchema
from ...utils.arrays import mean_of_measured
from ..calibration.confidence import answer_confidences, expected_calibration_error
from .frequency_bands import BANDS, band_means
from .label_table import LabelTable, label_table
from .metrics import evaluate_attributes
from .ranking import precision_at_recall

__all__ = ["RECALLS", "detailed_metrics", "top_k_accuracy"]

RECALLS = (50, 80)  # percent, at which the precision of multi-label groups is reported
_TOP = 3


def in_top_k(scores: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """
    Say whether the true label, int64 (N,), is among the k best of float (N, K) scores; of equal scores the first label
    ranks higher, and a row that is all 0 has no answer, which is wrong. Returns bool (N,).
    """
    true_scores = np.take_along_axis(scores, truth[:, None], axis=1)
    ahead = (scores > true_scores) | ((scores == true_scores) & (np.arange(scores.shape[1]) < truth[:, None]))
    return (ahead.sum(axis=1) < k) & scores.any(axis=1)


def top_k_accuracy(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """
    Return the share of the known rows whose label is among the k best; see :func:`in_top_k`.

    Args:
        scores, targets: float (N, K), int8 (N, K) of a single-label group.

    Returns:
        float: 0 to 1; NaN where nothing is known.
    """
    known = (targets != UNKNOWN).all(axis=1)
    if not known.any():
        return math.nan
    return float(in_top_k(scores[known], targets[known].argmax(axis=1), k).mean())


def detailed_metrics(
    scores: np.ndarray,
    targets: np.ndarray,
    schema: AttributeSchema,
    threshold: float | Mapping[str, float | Sequence[float]] = 0.5,
    label_counts: np.ndarray | None = None,
) -> tuple[dict[str, float], LabelTable]:
    """
    Compute the metrics of :func:`evaluate_attributes`, and over the same rows and entries

    - single-label groups: ``<group>/balanced_accuracy`` (mean recall of the labels that occur, as scikit-learn's) and
      ``<group>/top3`` (:func:`top_k_accuracy`);
    - multi-label groups: ``<group>/precision_at_recall_50`` and ``_80``, means over the labels that are somewhere
      true (:func:`precision_at_recall`);
    - both: ``<group>/ece``, the expected calibration error of the best label's score (single; rows with an answer) or
      of all known entries (multi); with `label_counts` also ``<group>/f1_head``, ``_mid`` and ``_tail``: mean F1 of
      the labels of that band in the training set (:func:`label_bands`) that are somewhere true;
    - ``mean/<name>`` of all these over the groups that have a value; with `label_counts` ``head/f1``,
      ``head/single_f1``, ``head/multi_f1``, ``head/AP``, ... over all labels, a label counting once, and
      ``head/labels``, how many they are; ``mid/...`` and ``tail/...`` likewise.

    Args:
        scores, targets, schema, threshold: as of :func:`evaluate_attributes`.
        label_counts: int (2, L): of the training set, garments that have the label and garments of which it is known.

    Returns:
        The metrics, plain floats, NaN where there is nothing to measure; and the labels one by one.

    Raises:
        ValueError: as :func:`evaluate_attributes`.
    """
    metrics = evaluate_attributes(scores, targets, schema, threshold)
    table = label_table(scores, targets, schema, threshold, label_counts)
    for group in schema.groups:
        columns = schema.slice(group.name)
        group_scores, group_targets = np.nan_to_num(scores[:, columns]), targets[:, columns]
        group_metrics: dict[str, float] = {}
        if group.is_single:
            group_metrics["balanced_accuracy"] = mean_of_measured(table.recall[columns])
            group_metrics["top3"] = top_k_accuracy(group_scores, group_targets, _TOP)
        else:
            for recall in RECALLS:
                values = precision_at_recall(group_scores, group_targets, recall / 100)
                group_metrics[f"precision_at_recall_{recall}"] = mean_of_measured(values)
        group_metrics["ece"] = expected_calibration_error(
            *answer_confidences(group_scores, group_targets, group.is_single)
        )
        if table.bands is not None:
            for i, band in enumerate(BANDS):
                group_metrics[f"f1_{band}"] = mean_of_measured(table.f1[columns][table.bands[columns] == i])
        metrics.update((f"{group.name}/{name}", 100 * value) for name, value in group_metrics.items())
    names = ["ece"]
    names += ["balanced_accuracy", "top3"] if any(g.is_single for g in schema.groups) else []
    names += [f"precision_at_recall_{r}" for r in RECALLS] if not all(g.is_single for g in schema.groups) else []
    for name in names:
        values_of_groups = [metrics[f"{group}/{name}"] for group in schema.group_names if f"{group}/{name}" in metrics]
        metrics[f"mean/{name}"] = mean_of_measured(values_of_groups)
    if table.bands is not None:
        metrics.update(_band_metrics(table))
    return metrics, table


def _band_metrics(table: LabelTable) -> dict[str, float]:
    assert table.bands is not None
    f1 = band_means(table.f1, table.bands, table.schema)
    precision = band_means(table.average_precision, table.bands, table.schema)
    metrics = {}
    for band in BANDS:
        metrics[f"{band}/f1"] = 100 * f1["all"][band][0]
        metrics[f"{band}/single_f1"] = 100 * f1["single"][band][0]
        metrics[f"{band}/multi_f1"] = 100 * f1["multi"][band][0]
        metrics[f"{band}/AP"] = 100 * precision["all"][band][0]
        metrics[f"{band}/labels"] = float(f1["all"][band][1])
    return metrics
