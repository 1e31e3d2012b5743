"""
This module counts over a split, from the columns of our store, where no dataset dict is made.

Shapes: N images, G garments, K classes, L labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...schema import CATEGORY_GROUP, UNKNOWN, AttributeSchema
from ..store.dataset import KFashionDataset
from ..store.shard import StoreShard

__all__ = ["class_ids", "garment_labels", "has_file", "image_labels", "label_counts", "style_counts"]


def class_ids(dataset: KFashionDataset, shard: StoreShard) -> np.ndarray:
    """Return the class of each garment of a shard in the dataset's class mode, -1 unknown or a crowd; int64 (G,)."""
    parts, categories = (np.asarray(column, dtype=np.int64) for column in (shard.part, shard.category))
    classes = categories
    if dataset.classes == "part":
        classes = parts
    elif dataset.classes == "category_or_part":
        classes = np.where(categories == UNKNOWN, len(dataset.schema.categories) + parts, categories)
    return np.where(_is_crowd(shard, len(classes)), UNKNOWN, classes)


def garment_labels(shard: StoreShard, name: str, num_garments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Read the labels of a group in a shard. Of crowd regions nothing is known.

    Returns:
        bool (G,): whether the group is known of the garment; then the known labels: int64 (M,) garments, their labels.
    """
    single = {**dict(shard.single), CATEGORY_GROUP: shard.category}
    if name in single:
        values = np.asarray(single[name])
        known = (values >= 0) & ~_is_crowd(shard, num_garments)
        return known, np.flatnonzero(known), values[known].astype(np.int64)
    lists = dict(shard.multi)[name]
    offsets = np.asarray(lists.offsets)
    values = np.asarray(lists.values)[offsets[0] : offsets[-1]]
    garments = np.repeat(np.arange(num_garments), np.diff(offsets))
    known = ~_is_crowd(shard, num_garments)
    known[garments[values < 0]] = False
    kept = known[garments]
    return known, garments[kept], values[kept].astype(np.int64)


def _is_crowd(shard: StoreShard, num_garments: int) -> np.ndarray:
    if shard.crowd is None:
        return np.zeros(num_garments, dtype=bool)
    return np.asarray(shard.crowd) != 0


def has_file(shard: StoreShard) -> np.ndarray:
    """Say which images of a shard have a file, not labels alone; bool (N,)."""
    return np.diff(np.asarray(shard.texts["file_name"].offsets)[: len(shard.offsets)]) > 0


def label_counts(
    dataset: KFashionDataset | Iterable[Mapping[str, Any]], schema: AttributeSchema, num_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """
    Count how often each label occurs with each class.

    Args:
        dataset: a split of our store, counted from its columns; or dataset dicts from anywhere, read one by one.
        schema: the groups to count; those of the dataset, or some of them.
        num_classes: K; needed for dataset dicts.

    Returns:
        int64 (K + 1, L) twice: garments that have the label, and garments of which it is known whether; the last row
        counts garments of unknown class.

    Raises:
        ValueError: dataset dicts without `num_classes`.
    """
    if not isinstance(dataset, KFashionDataset):
        return _label_counts_of_dicts(dataset, schema, num_classes)
    num_classes = len(schema.thing_classes(dataset.classes))
    yes, known = np.zeros((2, num_classes + 1, schema.num_labels), dtype=np.int64)
    for shard in dataset.shards():
        classes = class_ids(dataset, shard)  # -1 is the last row
        for group in schema.groups:
            columns = schema.slice(group.name)
            is_known, garments, labels = garment_labels(shard, group.name, len(classes))
            np.add.at(yes, (classes[garments], columns.start + labels), 1)
            known[:, columns] += np.bincount(classes[is_known] % (num_classes + 1), minlength=num_classes + 1)[:, None]
    return yes, known


def _label_counts_of_dicts(
    records: Iterable[Mapping[str, Any]], schema: AttributeSchema, num_classes: int | None
) -> tuple[np.ndarray, np.ndarray]:
    if num_classes is None:
        raise ValueError("label counts of dataset dicts need num_classes, the number of the detector's classes")
    yes, known = np.zeros((2, num_classes + 1, schema.num_labels), dtype=np.int64)
    for record in records:
        for anno in record["annotations"]:
            if not anno.get("iscrowd", 0):
                row = schema.encode(anno["attributes"], anno["part"])
                yes[anno["category_id"]] += row == 1  # -1 is the last row
                known[anno["category_id"]] += row != UNKNOWN
    return yes, known


def style_counts(dataset: KFashionDataset) -> np.ndarray:
    """Count images with a garment, of each style and of each sub-style; an unknown one counts nowhere. int64 (2, S)."""
    size, seen = len(dataset.schema.styles), dataset.num_garments > 0
    columns = [dataset.column(name)[seen] for name in ("style", "sub_style")]
    return np.stack([np.bincount(column[column >= 0], minlength=size) for column in columns])


def image_labels(dataset: KFashionDataset, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """
    List which label occurs in which image, each pair once.

    Args:
        names: of attribute groups; "category" and "style" too.

    Returns:
        int64 (M,) twice: the image's index, and a number for the label that no two labels of `names` share.

    Raises:
        ValueError: there is no such group.
    """
    images, labels, start = [], [], 0
    for name in names:
        if name == "style":
            values = dataset.column("style").astype(np.int64)
            images.append(np.flatnonzero(values >= 0))
            labels.append(start + values[values >= 0])
            start += len(dataset.schema.styles)
            continue
        index_of = dataset.schema.categories if name == CATEGORY_GROUP else dataset.schema.group(name).index_of
        first = 0
        for shard in dataset.shards():
            counts = np.diff(shard.offsets)
            _, garments, ids = garment_labels(shard, name, int(counts.sum()))
            pairs = (first + np.repeat(np.arange(len(counts)), counts)[garments]) * len(index_of) + ids
            pairs.sort(kind="stable")  # nearly sorted already: faster than np.unique
            pairs = pairs[np.diff(pairs, prepend=-1) != 0]
            images.append(pairs // len(index_of))
            labels.append(start + pairs % len(index_of))
            first += len(counts)
        start += len(index_of)
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([empty, *images]), np.concatenate([empty, *labels])
