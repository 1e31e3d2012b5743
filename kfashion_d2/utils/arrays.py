"""Runs of equal values in a column that is in order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["equals_neighbour", "runs"]


def equals_neighbour(values: np.ndarray) -> np.ndarray:
    """Bool (N,): of (N,) values, whether the one before or after is equal."""
    is_twin = np.zeros(len(values) + 1, dtype=bool)
    is_twin[1:-1] = values[1:] == values[:-1]
    return is_twin[1:] | is_twin[:-1]


def runs(values: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Each of the ascending integers, once, and where it stands."""
    found, starts = np.unique(values, return_index=True)
    ends = np.r_[starts, len(values)][1:]
    yield from zip(found.tolist(), map(slice, starts.tolist(), ends.tolist()), strict=True)
