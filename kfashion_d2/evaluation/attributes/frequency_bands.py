"""
This module tells head, mid and tail apart, by how common a label was in training, and averages metrics over each band.

Shapes: L labels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...schema import AttributeSchema

__all__ = ["BANDS", "band_means", "label_bands"]

BANDS = ("head", "mid", "tail")
UNSEEN = -1


def label_bands(yes: np.ndarray, known: np.ndarray, *, head: float = 0.1, mid: float = 0.01) -> np.ndarray:
    """
    Return the band of each label, by its share of the training garments whose group is known.

    Args:
        yes: int (L,): garments that have the label; one row of :func:`~kfashion_d2.data.statistics.label_counts`, or
            the sum of its rows.
        known: int (L,): garments of which it is known whether they have it.
        head, mid: the least share in the head and in the middle; rarer labels are the tail.

    Returns:
        int8 (L,): index into :data:`BANDS`; -1 for a label that no garment has.

    Raises:
        ValueError: the counts or the thresholds contradict each other.
    """
    yes, known = np.asarray(yes, dtype=np.int64), np.asarray(known, dtype=np.int64)
    if yes.ndim != 1 or yes.shape != known.shape:
        raise ValueError(f"counts of shapes {yes.shape} and {known.shape}: give one number for each label, twice")
    wrong = np.flatnonzero((yes < 0) | (yes > known))
    if len(wrong):
        i = wrong[0]
        raise ValueError(f"label {i}: {yes[i]} of {known[i]} known garments have it; it cannot be")
    if not 0 <= mid <= head <= 1:
        raise ValueError(f"thresholds head={head}, mid={mid}: they need 0 <= mid <= head <= 1")
    share = yes / np.maximum(known, 1)
    bands = np.where(share >= head, 0, np.where(share >= mid, 1, 2))
    return np.where(yes > 0, bands, UNSEEN).astype(np.int8)


def band_means(
    values: np.ndarray, bands: np.ndarray, schema: AttributeSchema
) -> dict[str, dict[str, tuple[float, int]]]:
    """
    Average a metric of single labels over each band of each kind of group.

    Args:
        values: float (L,): the metric; NaN where it could not be measured, which leaves the label out.
        bands: int8 (L,) of :func:`label_bands`; labels of -1 are left out.
        schema: whose columns they are.

    Returns:
        dict: "single", "multi" and "all" -> "head", "mid" and "tail" -> the mean, NaN of no label; and the number of
        labels in it. A label counts once, whatever the size of its group.

    Raises:
        ValueError: the arrays have not one value for each label.
    """
    values, bands = np.asarray(values, dtype=np.float64), np.asarray(bands)
    for name, array in {"values": values, "bands": bands}.items():
        if array.shape != (schema.num_labels,):
            raise ValueError(
                f"{name} has shape {array.shape}, but schema {schema.name!r} has {schema.num_labels} labels"
            )
    is_single = np.zeros(schema.num_labels, dtype=bool)
    for group in schema.groups:
        is_single[schema.slice(group.name)] = group.is_single
    kinds: Mapping[str, np.ndarray] = {"single": is_single, "multi": ~is_single, "all": np.ones_like(is_single)}
    measured = ~np.isnan(values)
    means: dict[str, dict[str, tuple[float, int]]] = {}
    for kind, has_kind in kinds.items():
        means[kind] = {}
        for i, band in enumerate(BANDS):
            kept = values[has_kind & measured & (bands == i)]
            means[kind][band] = (float(kept.mean()) if len(kept) else float("nan"), len(kept))
    return means
