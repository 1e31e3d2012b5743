"""
This module gives confidence intervals by bootstrap over images (Efron 1979): images are drawn anew with replacement,
garments stay with theirs.

Nothing is matched or sorted twice: a replicate is a number of copies for each image, and the counts behind F1, accuracy
and recall are sums over images, so all replicates are one matrix product.

Shapes: N images, B replicates, M garments that are scored, L labels in all groups together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ...schema import UNKNOWN, AttributeSchema
from ...utils.arrays import last_of_equals, ratio_or_nan
from ..attributes.frequency_bands import BANDS
from ..attributes.group_metrics import in_top_k
from ..attributes.label_table import LabelTable
from ..attributes.metrics import single_answers, threshold_row
from ..attributes.ranking import falling_order
from ..evaluate import Evaluation, style_tasks, task_rows
from ..predictions.core import Predictions
from .bootstrap_ap import bootstrap_box_ap

__all__ = ["bootstrap_metrics", "confidence_intervals", "image_copies"]

_IMAGES_AT_ONCE = 8192
_REPLICATES_AT_ONCE = 64


def image_copies(num_images: int, replicates: int, seed: int = 0) -> np.ndarray:
    """
    Draw how often each image is in each replicate. It depends on nothing else, so that two models on the same images
    can be compared replicate by replicate.

    Returns:
        uint8 (N, B): each column sums to N. (A count above 255 does not come up.)
    """
    rng = np.random.default_rng(seed)
    copies = np.zeros((num_images, replicates), dtype=np.uint8)
    for replicate in range(replicates if num_images else 0):
        drawn = rng.integers(num_images, size=num_images)
        copies[:, replicate] = np.bincount(drawn, minlength=num_images)
    return copies


def bootstrap_metrics(
    predictions: Predictions, evaluation: Evaluation, replicates: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """
    Compute the headline numbers of every replicate: ``bbox/AP``, ``AP50`` and ``AP75`` (:func:`bootstrap_box_ap`),
    where they were evaluated; of each attribute task ``recall``, of each group ``accuracy``, ``balanced_accuracy``
    (single), ``micro_f1``, ``mAP`` (multi) and ``macro_f1``, their ``mean/...``, and ``head/f1``, ``mid/f1``,
    ``tail/f1`` where the bands are known; of the styles ``top1``, ``top3`` and ``macro_f1``.

    Args:
        predictions: what was evaluated.
        evaluation: of :func:`evaluate_predictions`.
        replicates: B.
        seed: of :func:`image_copies`.

    Returns:
        dict: flat name, as in ``metrics.json`` -> float64 (B,), percent; NaN where a replicate has nothing to measure.
    """
    copies = image_copies(predictions.num_images, replicates, seed)
    garments = _sums_over_images(np.diff(predictions.gt_offsets)[:, None], copies)[0]
    samples = bootstrap_box_ap(predictions, copies) if "bbox" in evaluation.metrics else {}
    for task, table in evaluation.tables.items():
        rows, scores, targets = task_rows(predictions, task, evaluation.matches)
        images = predictions.gt_images[rows]
        metrics = _label_metrics(scores, targets, images, copies, table, predictions.info.threshold)
        if task in evaluation.matches:
            matched = np.bincount(images, minlength=predictions.num_images)
            metrics["recall"] = ratio_or_nan(_sums_over_images(matched[:, None], copies)[0], garments)
        samples.update((f"{task}/{name}", 100 * values) for name, values in metrics.items())
    for task, scores, styles in style_tasks(predictions):
        metrics = _style_metrics(scores, styles, copies)
        samples.update((f"{task}/{name}", 100 * values) for name, values in metrics.items())
    return samples


def confidence_intervals(
    samples: Mapping[str, np.ndarray], values: Mapping[str, float], confidence: float = 0.95
) -> dict[str, tuple[float, float]]:
    """
    Take the percentiles of the replicates, moved so that their median lies on the value: drawn twice, the few images of
    a rare label make it easier, so that replicates of mean AP and macro-F1 lean to one side.

    Args:
        samples: of :func:`bootstrap_metrics`.
        values: flat name -> the metric itself, percent.
        confidence: share of the replicates inside.

    Returns:
        dict: flat name -> low and high end, within 0 and 100; NaN where the value is, or where less than half of the
        replicates have one.

    Raises:
        ValueError: the confidence is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: it must be between 0 and 1")
    tails = 100 * (1 - confidence) / 2
    intervals = {}
    for name, replicates in samples.items():
        kept, value = replicates[~np.isnan(replicates)], values.get(name, math.nan)
        if not len(kept) or 2 * len(kept) < len(replicates) or math.isnan(value):
            intervals[name] = (math.nan, math.nan)
            continue
        low, middle, high = np.percentile(kept, [tails, 50, 100 - tails])
        intervals[name] = (max(value + float(low - middle), 0.0), min(value + float(high - middle), 100.0))
    return intervals


def _sums_over_images(counts: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Sum integers (N, C) of each image to float64 (C, B). Exact: float32 holds every sum below 2^24."""
    sums = np.zeros((counts.shape[1], copies.shape[1]))
    for start in range(0, len(counts), _IMAGES_AT_ONCE):
        chunk = slice(start, start + _IMAGES_AT_ONCE)
        sums += counts[chunk].T.astype(np.float32) @ copies[chunk].astype(np.float32)
    return sums


def _column_means(values: np.ndarray) -> np.ndarray:
    """Return the mean of what is not NaN in every replicate, float64 (B,), of float (N, B)."""
    there = ~np.isnan(values)
    return ratio_or_nan(np.where(there, values, 0).sum(axis=0), there.sum(axis=0))


def _label_metrics(
    scores: np.ndarray,
    targets: np.ndarray,
    images: np.ndarray,
    copies: np.ndarray,
    table: LabelTable,
    threshold: float | Mapping,
) -> dict[str, np.ndarray]:
    """
    Compute name -> float64 (B,), 0 to 1, of float16 (M, L) scores and int8 (M, L) targets of garments in M images.
    """
    schema = table.schema
    metrics: dict[str, np.ndarray] = {}
    f1_of_labels = np.full((schema.num_labels, copies.shape[1]), math.nan)
    means: dict[str, list[np.ndarray]] = {}
    for group in schema.groups:
        columns = schema.slice(group.name)
        group_scores = np.nan_to_num(scores[:, columns])
        support, answered, right = _counts(
            group_scores, targets[:, columns], images, copies, _least(schema, threshold, columns, scores.dtype, group)
        )
        f1 = ratio_or_nan(2 * right, np.where(support > 0, support + answered, 0))
        f1_of_labels[columns] = f1
        values = {"macro_f1": _column_means(f1)}
        if group.is_single:
            values["accuracy"] = ratio_or_nan(right.sum(axis=0), support.sum(axis=0))
            values["balanced_accuracy"] = _column_means(ratio_or_nan(right, support))
            averaged = ["accuracy", "balanced_accuracy", "macro_f1"]
        else:
            values["micro_f1"] = ratio_or_nan(2 * right.sum(axis=0), support.sum(axis=0) + answered.sum(axis=0))
            values["mAP"] = _column_means(_average_precisions(group_scores, targets[:, columns], images, copies))
            averaged = ["micro_f1", "mAP"]
        metrics.update((f"{group.name}/{name}", x) for name, x in values.items())
        for name in averaged:
            means.setdefault(name, []).append(values[name])
    metrics.update((f"mean/{name}", _column_means(np.stack(values))) for name, values in means.items())
    if table.bands is not None:
        metrics.update((f"{band}/f1", _column_means(f1_of_labels[table.bands == i])) for i, band in enumerate(BANDS))
    return metrics


def _style_metrics(scores: np.ndarray, styles: np.ndarray, copies: np.ndarray) -> dict[str, np.ndarray]:
    """Compute name -> float64 (B,), 0 to 1, of float32 (N, S) scores and int16 (N,) styles."""
    names = np.arange(scores.shape[1])
    known = np.flatnonzero(styles >= 0)
    targets = np.where(styles[:, None] < 0, UNKNOWN, styles[:, None] == names).astype(np.int8)
    values = np.nan_to_num(scores)
    support, answered, right = _counts(values, targets, np.arange(len(styles)), copies, None)
    metrics = {"top1": ratio_or_nan(right.sum(axis=0), support.sum(axis=0))}
    hits = np.zeros((len(styles), 1), dtype=np.uint8)
    if len(known):
        hits[known, 0] = in_top_k(values[known], styles[known].astype(np.int64), 3)
    metrics["top3"] = ratio_or_nan(_sums_over_images(hits, copies)[0], support.sum(axis=0))
    metrics["macro_f1"] = _column_means(ratio_or_nan(2 * right, np.where(support > 0, support + answered, 0)))
    return metrics


def _least(schema: AttributeSchema, threshold: float | Mapping, columns: slice, dtype, group) -> np.ndarray | None:
    """Return the least scores of a multi-label group's answers; None of a single-label group."""
    return None if group.is_single else threshold_row(threshold, schema).astype(dtype)[columns]


def _counts(
    scores: np.ndarray, targets: np.ndarray, images: np.ndarray, copies: np.ndarray, least: np.ndarray | None
) -> np.ndarray:
    """Count of each label of a group how often it is true, answered, and both; float64 (3, K, B)."""
    num_labels = targets.shape[1]
    if least is None:
        known = (targets != UNKNOWN).all(axis=1)[:, None]
        answer = (single_answers(scores)[:, None] == np.arange(num_labels)) & known
    else:
        answer = (scores >= least) & (targets != UNKNOWN)
    positive = targets == 1
    counts_per_image = np.zeros((len(copies), 3 * num_labels), dtype=np.uint16)
    for i, entries in enumerate((positive, answer, positive & answer)):
        row, label = np.nonzero(entries)
        cells = np.bincount(images[row] * num_labels + label, minlength=len(copies) * num_labels)
        counts_per_image[:, i * num_labels : (i + 1) * num_labels] = cells.reshape(-1, num_labels)
    return _sums_over_images(counts_per_image, copies).reshape(3, num_labels, -1)


def _average_precisions(scores: np.ndarray, targets: np.ndarray, images: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Compute :func:`average_precision` of each label in each replicate; float64 (K, B), 0 to 1."""
    result = np.full((targets.shape[1], copies.shape[1]), math.nan)
    for label in np.flatnonzero((targets == 1).any(axis=0)):
        known = np.flatnonzero(targets[:, label] != UNKNOWN)
        rows = known[falling_order(scores[known, label])]
        column = scores[rows, label]
        positive, garment_images = targets[rows, label] == 1, images[rows]
        last = last_of_equals(column)
        # Only steps with a true row add to the sum.
        steps = np.flatnonzero(np.add.reduceat(positive, np.append(0, last[:-1] + 1), dtype=np.int64))
        ends, starts = last[steps], np.append(0, last[:-1] + 1)[steps]
        positions = np.flatnonzero(positive)
        before, after = np.searchsorted(positions, starts), np.searchsorted(positions, ends, side="right")
        for first in range(0, copies.shape[1], _REPLICATES_AT_ONCE):
            chunk = slice(first, first + _REPLICATES_AT_ONCE)
            drawn = copies[garment_images, chunk]
            answered = drawn.cumsum(axis=0, dtype=np.int32)[ends]
            true = np.concatenate(
                [np.zeros((1, drawn.shape[1]), np.int32), drawn[positions].cumsum(axis=0, dtype=np.int32)]
            )
            hits = true[after] - true[before]
            total = true[-1]
            precision = ratio_or_nan(true[after], answered)
            result[label, chunk] = ratio_or_nan(np.where(hits > 0, hits * precision, 0).sum(axis=0), total)
    return result
