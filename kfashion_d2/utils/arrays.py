"""This module has small functions on arrays that several wings share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

__all__ = ["equals_neighbour", "group_slices", "last_of_equals", "mean_of_measured", "ratio_or_nan"]


def mean_of_measured(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN, which stands for "not measured"; NaN where none is left."""
    measured = [float(value) for value in values if not math.isnan(value)]
    return math.fsum(measured) / len(measured) if measured else math.nan


def ratio_or_nan(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide arrays that broadcast, float64; NaN where `whole` is not above 0."""
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, math.nan), where=whole > 0)


def last_of_equals(values: np.ndarray) -> np.ndarray:
    """Return the last index of each run of equal values, int64, of (N,) values of which equal ones stand together."""
    return np.flatnonzero(np.append(values[1:] != values[:-1], True)) if len(values) else np.zeros(0, dtype=np.int64)


def equals_neighbour(values: np.ndarray) -> np.ndarray:
    """Say of each of (N,) values whether the one before or after it is equal, bool (N,)."""
    is_twin = np.zeros(len(values) + 1, dtype=bool)
    is_twin[1:-1] = values[1:] == values[:-1]
    return is_twin[1:] | is_twin[:-1]


def group_slices(keys: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Yield each of the ascending integer keys once, with the slice of the rows that have it."""
    distinct, starts = np.unique(keys, return_index=True)
    ends = np.r_[starts, len(keys)][1:]
    yield from zip(distinct.tolist(), map(slice, starts.tolist(), ends.tolist()), strict=True)
