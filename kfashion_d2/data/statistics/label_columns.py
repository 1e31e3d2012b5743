"""
This module reads all labels as columns of a matrix, a shard at a time, and picks garments by their labels.

Shapes: G garments, C columns: the categories, the groups' labels in the schema's order, the styles; Q groups of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...schema import CATEGORY_GROUP, AttributeSchema, Label
from ..store.dataset import KFashionDataset
from ..store.shard import StoreShard
from .label_statistics import garment_labels, has_file

__all__ = ["STYLE_GROUP", "LabelColumns", "pick_garments"]

STYLE_GROUP = "style"
LEAST_SIDE = 24  # pixels; in a smaller box there is nothing to be seen


class LabelColumns:
    """
    This reader knows which column of the matrix stands for which label.

    Attributes:
        group_names (list[str]): Q names.
        labels (list[tuple[str, Label]]): of each column its group and label.
        groups: int64 (C,), the group of each column.
        none: bool (C,), columns that stand for "known to have none".
    """

    def __init__(self, schema: AttributeSchema):
        named = [
            (CATEGORY_GROUP, schema.categories.labels),
            *((group.name, group.labels) for group in schema.groups),
            (STYLE_GROUP, schema.styles.labels),
        ]
        self.group_names = [name for name, _ in named]
        self.labels: list[tuple[str, Label]] = [(name, label) for name, labels in named for label in labels]
        sizes = [len(labels) for _, labels in named]
        self.groups = np.repeat(np.arange(len(named)), sizes)
        self._starts = (np.cumsum(sizes) - sizes).tolist()
        nones = [schema.group(name).none_index for name in schema.group_names]
        self.none = np.zeros(len(self.labels), dtype=bool)
        self.none[[self._starts[i] + none for i, none in enumerate(nones, 1) if none is not None]] = True

    def slice(self, group: str) -> slice:
        start = self._starts[self.group_names.index(group)]
        return slice(start, start + sum(name == group for name, _ in self.labels))

    def read(self, shard: StoreShard) -> tuple[np.ndarray, np.ndarray]:
        """
        Read the matrix of a shard.

        Returns:
            bool (G, C): which labels a garment has; bool (G, Q): of which groups they are known. The style is the
            image's.
        """
        counts = np.diff(shard.offsets)
        num = int(counts.sum())
        labels = np.zeros((num, len(self.labels)), dtype=bool)
        known = np.zeros((num, len(self.group_names)), dtype=bool)
        for i, name in enumerate(self.group_names[:-1]):
            known[:, i], garments, ids = garment_labels(shard, name, num)
            labels[garments, self._starts[i] + ids] = True
        styles = np.repeat(shard.images["style"].astype(np.int64), counts)
        known[:, -1] = styles >= 0
        labels[known[:, -1], self._starts[-1] + styles[known[:, -1]]] = True
        return labels, known


def pick_garments(
    datasets: Sequence[KFashionDataset], num: int, seed: int = 0
) -> dict[tuple[str, str], list[tuple[int, int, int]]]:
    """
    Pick garments of every label, at random, of those that have an image and are large enough to be seen.

    Args:
        datasets: splits of one schema.
        num: garments of each label; fewer where it has fewer.
        seed: equal seeds pick equal garments.

    Returns:
        (group, label) -> (dataset, image in it, garment in the image), for labels that occur. Without the label `none`.
    """
    columns = LabelColumns(datasets[0].schema)
    best: list[list[tuple[float, int, int, int]]] = [[] for _ in columns.labels]
    for position, dataset in enumerate(datasets):
        start = 0
        for number, shard in enumerate(dataset.shards()):
            counts = np.diff(shard.offsets)
            images = np.repeat(np.arange(len(counts)), counts)
            boxes = np.asarray(shard.boxes.values).reshape(-1, 4)
            chances = np.random.default_rng([seed, position, number]).random(len(images))
            order = np.argsort(chances)
            order = order[(boxes[order, 2:].min(axis=1) >= LEAST_SIDE) & has_file(shard)[images[order]]]
            labels = columns.read(shard)[0][order]
            for column in np.flatnonzero(labels.any(axis=0) & ~columns.none):
                rows = order[np.flatnonzero(labels[:, column])[:num]]
                garments = [
                    (chances[row], position, start + int(images[row]), int(row - shard.offsets[images[row]]))
                    for row in rows
                ]
                best[column] = sorted(best[column] + garments)[:num]
            start += len(counts)
    return {
        (group, label.name): [garment[1:] for garment in garments]
        for (group, label), garments in zip(columns.labels, best, strict=True)
        if garments
    }
