"""
This module decides which image is whose: it lists annotations in the order of conversion, each with the image of its
stem.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...utils.arrays import equals_neighbour
from .file_table import FileColumns
from .paths import composed, stem_ids

__all__ = ["ImageJoin", "join_images", "splits_by_images"]

_ZIP_FOLDER = re.compile(r"\.zip/", re.IGNORECASE)


class ImageJoin(NamedTuple):
    """
    A join says which image each annotation has.

    Attributes:
        splits: split -> (rows of `labels`, rows of `images`; -1 where an annotation has none), by id (the stem as a
            number where it is one), then by path.
        num_images: split -> images found.
        unused: int64, ascending: rows of `images` that no annotation uses; and bool: whether one uses another image
            of the same stem.
        chosen: int64: rows of `labels` and of `images`: the winner of several images of one stem, where a loser is
            no annotation's and no copy.
        reused: the same of annotations whose image is another one's too.
    """

    splits: dict[str, tuple[np.ndarray, np.ndarray]]
    num_images: dict[str, int]
    unused: tuple[np.ndarray, np.ndarray]
    chosen: tuple[np.ndarray, np.ndarray]
    reused: tuple[np.ndarray, np.ndarray]


Chooser = Callable[
    [int, Sequence[int]], int
]  # row of `labels` and rows of `images` -> the annotation's row of `images`


def splits_by_images(labels: FileColumns, images: FileColumns) -> tuple[np.ndarray, np.ndarray]:
    """
    Find annotations whose split no name says, but whose images lie in the folder of one split.

    Returns:
        rows: int64 (M,) of `labels`, ascending.
        image_rows: int64 (M,): an image of each, the folder of which is that split's.
    """
    groups = _named_splits(images)[images.folder_ids] if len(images) else np.empty(0, dtype=object)
    names = sorted(set(groups.tolist()) - {""})
    is_unnamed = np.array([not folder.decision.is_named for folder in labels.folders], dtype=bool)
    rows = np.flatnonzero(is_unnamed[labels.folder_ids])
    if not names or not len(rows):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    in_splits = np.stack([_first_matches(labels, rows, images, np.flatnonzero(groups == name)) for name in names])
    is_shared = _first_matches(labels, rows, images, np.flatnonzero(groups == "")) >= 0
    decided = ((in_splits >= 0).sum(axis=0) == 1) & ~is_shared
    return rows[decided], in_splits.max(axis=0)[decided]


def join_images(labels: FileColumns, images: FileColumns, label_splits: np.ndarray, choose: Chooser) -> ImageJoin:
    """
    Give each annotation the image that has its file's stem, and is of its split or of none.

    Args:
        label_splits: object (N,): the split of every annotation.
        choose: picks one of several images of the stem.
    """
    groups = _named_splits(images)[images.folder_ids] if len(images) else np.empty(0, dtype=object)
    counts = np.bincount(images.folder_ids, minlength=len(images.folders))
    num_images: dict[str, int] = defaultdict(int)
    for folder, count in zip(images.folders, counts.tolist(), strict=True):
        num_images[folder.split] += count
    splits, used = {}, np.zeros(len(images), dtype=bool)
    ties: list[tuple[int, int, list[int]]] = []
    for split in sorted(set(label_splits.tolist())):
        rows = _in_order(np.flatnonzero(label_splits == split), labels)
        # One folder of images may serve all splits.
        candidates = np.flatnonzero((groups == split) | (groups == ""))
        image_rows = _first_matches(labels, rows, images, candidates)
        for i, several in _several_matches(labels, rows, images, candidates):
            image_rows[i] = choose(int(rows[i]), several)
            ties.append((int(rows[i]), int(image_rows[i]), several))
        used[image_rows[image_rows >= 0]] = True
        splits[split] = (rows, image_rows)
    unused = np.flatnonzero(~used)
    return ImageJoin(
        splits,
        dict(num_images),
        (unused, _has_used_twin(images, groups, used)[unused]),
        _contested(images, used, ties),
        _reused(labels, splits),
    )


def _named_splits(images: FileColumns) -> np.ndarray:
    """Return the split that each folder of images is named for, "" where it is of none; object (F,)."""
    return np.array([folder.split if folder.decision.is_named else "" for folder in images.folders], dtype=object)


def _first_matches(labels: FileColumns, rows: np.ndarray, images: FileColumns, candidates: np.ndarray) -> np.ndarray:
    """Find for each row of `labels` the first candidate of its stem, -1 where there is none; int64."""
    if not len(rows) or not len(candidates):
        return np.full(len(rows), -1, dtype=np.int64)
    wanted, stems = labels.stems.take(pa.array(rows)), images.stems.take(pa.array(candidates))
    positions = pc.fill_null(pc.index_in(wanted, value_set=stems), -1).to_numpy().astype(np.int64)
    return np.where(positions < 0, -1, candidates[positions])


def _several_matches(
    labels: FileColumns, rows: np.ndarray, images: FileColumns, candidates: np.ndarray
) -> Iterator[tuple[int, list[int]]]:
    """Yield the position in `rows` and all candidates of each annotation that has several of its stem."""
    stems = images.stems.take(pa.array(candidates))
    counted = stems.value_counts()
    repeated = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    if not len(repeated):
        return
    by_stem: dict[str, list[int]] = defaultdict(list)
    for position, stem in _among(stems, repeated):
        by_stem[stem].append(int(candidates[position]))
    for i, stem in _among(labels.stems.take(pa.array(rows)), repeated):
        yield i, by_stem[stem]


def _has_used_twin(images: FileColumns, groups: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Say of each image that no annotation uses whether one uses another of its stem; bool (N,), False elsewhere."""
    has_twin = np.zeros(len(images), dtype=bool)
    for group in set(groups[~used].tolist()):
        unused_rows = np.flatnonzero((groups == group) & ~used)
        used_rows = np.flatnonzero(((groups == group) | (groups == "") | (group == "")) & used)
        stems, used_stems = (images.stems.take(pa.array(rows)) for rows in (unused_rows, used_rows))
        has_twin[unused_rows] = pc.is_in(stems, value_set=used_stems).to_numpy(zero_copy_only=False)
    return has_twin


def _contested(
    images: FileColumns, used: np.ndarray, ties: list[tuple[int, int, list[int]]]
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the ties that somebody should know of: a loser is used by no annotation, and no unpacked copy."""
    kept = [
        (label, winner)
        for label, winner, several in ties
        if not all(used[row] or _are_copies(images, winner, row) for row in several)
    ]
    label_rows, image_rows = np.array(kept, dtype=np.int64).reshape(-1, 2).T
    return label_rows, image_rows


def _reused(labels: FileColumns, splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Find the annotations whose image an earlier one has too, but for unpacked copies of that one."""
    nothing = np.empty(0, dtype=np.int64)
    rows, image_rows = (np.concatenate([nothing, *(pair[i] for pair in splits.values())]) for i in (0, 1))
    rows, image_rows = rows[image_rows >= 0], image_rows[image_rows >= 0]
    order = np.argsort(image_rows, kind="stable")
    shared = order[equals_neighbour(image_rows[order])]
    first: dict[int, int] = {}
    later = []
    for position in shared.tolist():
        row, image = int(rows[position]), int(image_rows[position])
        if not _are_copies(labels, first.setdefault(image, row), row):
            later.append((row, image))
    label_rows, image_rows = np.array(later, dtype=np.int64).reshape(-1, 2).T
    return label_rows, image_rows


def _are_copies(files: FileColumns, a: int, b: int) -> bool:
    """Say whether two files are one by their paths: in an archive, and where the archive was unpacked."""
    return a == b or len({_ZIP_FOLDER.sub("/", files.paths[row].as_py()) for row in (a, b)}) == 1


def _among(texts: pa.LargeStringArray, values: pa.LargeStringArray) -> Iterator[tuple[int, str]]:
    """Yield the position and text of each that is one of the values."""
    positions = np.flatnonzero(pc.is_in(texts, value_set=values).to_numpy(zero_copy_only=False))
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
