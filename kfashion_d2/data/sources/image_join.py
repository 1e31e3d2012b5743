"""
This module decides which image is whose: it lists annotations in the order of conversion, each with the image of its
stem.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...utils.arrays import equals_neighbour
from .file_table import FileColumns
from .paths import composed, stem_ids

__all__ = ["join_images"]


def join_images(
    labels: FileColumns, images: FileColumns
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, int], tuple[np.ndarray, np.ndarray]]:
    """
    Give each annotation the image that has its file's stem, and is of its split or of none; of several, the one in the
    folder of the same name (the style), and of those the first.

    Returns:
        splits: split -> (rows of `labels`, rows of `images`; -1 where an annotation has none), by id (the stem as a
            number where it is one), then by path.
        num_images: split -> images found.
        unused: int64, ascending: rows of `images` that no annotation uses; and bool: whether one uses another image
            of the same stem.
    """
    label_splits = np.array([folder.split for folder in labels.folders], dtype=object)[labels.folder_ids]
    image_splits = [folder.split for folder in images.folders]
    # One folder of images may serve all splits.
    groups = np.array([folder.split if folder.is_named else "" for folder in images.folders], dtype=object)
    groups = groups[images.folder_ids] if len(images) else np.empty(0, dtype=object)
    counts = np.bincount(images.folder_ids, minlength=len(images.folders))
    num_images: dict[str, int] = defaultdict(int)
    for split, count in zip(image_splits, counts.tolist(), strict=True):
        num_images[split] += count
    shared = np.flatnonzero(groups == "")
    splits, used = {}, np.zeros(len(images), dtype=bool)
    for split in sorted(set(label_splits.tolist())):
        rows = _in_order(np.flatnonzero(label_splits == split), labels)
        mine = np.full(len(rows), -1, dtype=np.int64)
        for candidates in (np.flatnonzero(groups == split), shared):
            missing = np.flatnonzero(mine < 0)
            mine[missing] = _find(labels, rows[missing], images, candidates)
        used[mine[mine >= 0]] = True
        splits[split] = (rows, mine)
    is_second = np.zeros(len(images), dtype=bool)
    for group in set(groups[~used].tolist()):
        mine, others = np.flatnonzero((groups == group) & ~used), np.flatnonzero((groups == group) & used)
        stems, taken = (images.stems.take(pa.array(rows)) for rows in (mine, others))
        is_second[mine] = pc.is_in(stems, value_set=taken).to_numpy(zero_copy_only=False)
    unused = np.flatnonzero(~used)
    return splits, dict(num_images), (unused, is_second[unused])


def _find(labels: FileColumns, rows: np.ndarray, images: FileColumns, candidates: np.ndarray) -> np.ndarray:
    """Find each row's image among the candidates, -1 where there is none."""
    if not len(rows) or not len(candidates):
        return np.full(len(rows), -1, dtype=np.int64)
    wanted, stems = labels.stems.take(pa.array(rows)), images.stems.take(pa.array(candidates))
    first = pc.index_in(wanted, value_set=stems)  # of equal stems the first one's
    found = pc.fill_null(first, -1).to_numpy().astype(np.int64)
    counted = stems.value_counts()
    repeated = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    if len(repeated):
        positions: dict[str, list[int]] = defaultdict(list)
        for position, stem in _among(stems, repeated):
            positions[stem].append(position)
        image_styles = [folder.style for folder in images.folders]
        for i, stem in _among(wanted, repeated):
            style = labels.folders[labels.folder_ids[rows[i]]].style
            same = (p for p in positions[stem] if image_styles[images.folder_ids[candidates[p]]] == style)
            found[i] = next(same, found[i])
    return np.where(found < 0, -1, candidates[found])


def _among(texts: pa.LargeStringArray, some: pa.LargeStringArray) -> Iterator[tuple[int, str]]:
    """Return the position and text of each that is one of some."""
    positions = np.flatnonzero(pc.is_in(texts, value_set=some).to_numpy(zero_copy_only=False))
    return zip(positions.tolist(), texts.take(pa.array(positions)).to_pylist(), strict=True)


def _in_order(rows: np.ndarray, labels: FileColumns) -> np.ndarray:
    """Sort by the stem as a number, then by path; stems that are none come last."""
    ids = stem_ids(labels.stems.take(pa.array(rows)))
    order = np.argsort(ids, kind="stable")
    rows, ids = rows[order], ids[order]
    tied = np.flatnonzero(equals_neighbour(ids))
    # UTF-8 sorts as the letters do.
    paths = composed(labels.paths.take(pa.array(rows[tied])))
    rank = pc.rank(paths, tiebreaker="first").to_numpy()
    rows[tied] = rows[tied][np.lexsort((rank, ids[tied]))]
    return rows
