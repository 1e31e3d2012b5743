"""This module has small functions on arrays that several wings share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

__all__ = ["equals_neighbour", "group_slices", "mean_of_measured"]


def mean_of_measured(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN, which stands for "not measured"; NaN where none is left."""
    measured = [float(value) for value in values if not math.isnan(value)]
    return math.fsum(measured) / len(measured) if measured else math.nan


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
