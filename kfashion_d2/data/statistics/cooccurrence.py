"""
This module finds labels that occur together more often than chance would have it.

Shapes: G rows (garments, or images), C labels, Q groups of labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Cooccurrence", "Pair"]


class Pair(NamedTuple):
    """
    This says how often two labels occur together.

    Attributes:
        first, second: their columns, the smaller first.
        count: rows that have both.
        share: of the rows of which both groups are known.
        lift: how many times as often as if the two were independent.
        npmi: normalised pointwise mutual information (Bouma 2009): 0 independent, 1 never one without the other.
    """

    first: int
    second: int
    count: int  # type: ignore[assignment]  # a NamedTuple also has the method
    share: float
    lift: float
    npmi: float


class Cooccurrence:
    """
    This object counts pairs of labels over rows that come in blocks. Rows where a group is unknown say nothing about
    its labels.
    """

    def __init__(self, groups: np.ndarray):
        """
        Start with nothing counted.

        Args:
            groups: int64 (C,), the group of every label, numbers from 0.
        """
        self.groups = groups
        num_groups = int(groups.max()) + 1
        self.together = np.zeros((len(groups), len(groups)), dtype=np.int64)
        self.alone = np.zeros((len(groups), num_groups), dtype=np.int64)
        self.known = np.zeros((num_groups, num_groups), dtype=np.int64)

    def add(self, labels: np.ndarray, known: np.ndarray) -> None:
        """
        Count the rows of a block.

        Args:
            labels: bool (G, C). At most 2**24 rows, which float32 counts exactly.
            known: bool (G, Q), whether the row's labels of the group are known.
        """
        labels, known = labels.astype(np.float32), known.astype(np.float32)
        self.together += (labels.T @ labels).astype(np.int64)
        self.alone += (labels.T @ known).astype(np.int64)
        self.known += (known.T @ known).astype(np.int64)

    def merge(self, other: Cooccurrence) -> None:
        self.together += other.together
        self.alone += other.alone
        self.known += other.known

    def strongest(self, num: int, least: int) -> list[Pair]:
        """
        Return the pairs whose labels depend on each other most.

        Args:
            num: how many pairs.
            least: rows that a pair must have, since a pair that was seen twice proves nothing.

        Returns:
            The pairs of the highest NPMI, highest first, equal ones by their columns; none of 0 or below.
        """
        first, second = np.nonzero(np.triu(self.together >= max(least, 1), k=1))
        q, r = self.groups[first], self.groups[second]
        count = self.together[first, second]
        rows = self.known[q, r]
        lift = count * rows / (self.alone[first, r] * self.alone[second, q])
        share = count / rows
        with np.errstate(divide="ignore", invalid="ignore"):  # a pair that every row has
            npmi = np.where(share < 1, np.log(lift) / -np.log(share), 0.0).round(9)  # equal ones must be equal
        order = np.lexsort((second, first, -npmi))
        order = order[npmi[order] > 0][:num]
        columns = (first, second, count, share, lift, npmi)
        return [Pair(*row) for row in zip(*(column[order].tolist() for column in columns), strict=True)]
