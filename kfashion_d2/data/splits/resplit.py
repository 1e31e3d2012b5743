"""
This module makes new splits from converted ones: splits that do not leak and have the labels in the same shares, and
small ones for experiments.

Shapes: N images of all the splits given, one split after the other; L labels: those of every group, the
categories and the styles.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...schema import CATEGORY_GROUP
from ...utils.files import new_file
from ..statistics import label_statistics
from ..store.dataset import KFashionDataset
from ..store.writer import check_split_folder, data_folders, select_rows, write_split
from .grouping import KINDS, connected_groups, find_image_pairs

SIZE_WEIGHT = 30.0  # of the sizes of the splits against one label

__all__ = ["assign_groups", "check_leaks", "image_labels", "resplit", "take_subset"]


def resplit(
    datasets: Sequence[KFashionDataset],
    output: str | Path,
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    images: bool = False,
    max_distance: int = 4,
    workers: int = 1,
) -> dict[str, Any]:
    """
    Pool splits and divide them anew: photographs of one group (:func:`find_image_pairs`) stay together, and every label
    keeps its share of images as nearly as the groups allow. Of images with one id the first stays.

    Args:
        datasets: of one conversion: one vocabulary, one image root.
        output: the folder for the new splits.
        shares: split -> share of the images; made to sum to 1.
        seed: another one gives other splits.
        images, max_distance, workers: as for :func:`find_image_pairs`.

    Returns:
        `images` and `garments` of each split, `groups`, the `largest_group`, and the `duplicate_ids` left out.

    Raises:
        ValueError: the splits are of different vocabularies or image roots; no shares, or not positive ones; a name
            that is no folder's; a new split would replace what is no split, or lie inside or around the data.
    """
    _check_together(datasets)
    if not shares or not all(0 < share < np.inf for share in shares.values()):
        raise ValueError(f"shares {dict(shares)}: give one or more splits, each with a positive share")
    for name in shares:
        if name != os.path.basename(name) or name.startswith(".") or not name:
            raise ValueError(f"a split cannot be called {name!r}: give the name of a folder in the output")
        check_split_folder(Path(output, name), data_folders(datasets))
    ids = np.concatenate([dataset.image_ids for dataset in datasets])
    pairs = find_image_pairs(datasets, images=images, max_distance=max_distance, workers=workers)
    groups = connected_groups(pairs, len(ids))
    first = np.zeros(len(ids), dtype=bool)
    first[np.unique(ids, return_index=True)[1]] = True
    weights = np.array(list(shares.values())) / sum(shares.values())
    part = assign_groups(groups, *image_labels(datasets), weights, seed)
    report: dict[str, Any] = {"splits": {}}
    for number, name in enumerate(shares):
        report["splits"][name] = _write(datasets, first & (part == number), Path(output, name))
    sizes = np.bincount(groups)
    largest = int(sizes.max(initial=0))
    return {**report, "groups": len(sizes), "largest_group": largest, "duplicate_ids": int((~first).sum())}


def take_subset(
    dataset: KFashionDataset,
    output: str | Path,
    *,
    fraction: float | None = None,
    per_label: int | None = None,
    seed: int = 0,
) -> dict[str, int]:
    """
    Make a small split of one or more splits, with every label in it.

    Args:
        output: the new split's folder.
        fraction: this share of the images, and of every label's images as nearly as possible; or
        per_label: so few images that every label has this many where it has them (rare labels first).
        seed: another one gives another subset.

    Returns:
        `images` and `garments`.

    Raises:
        ValueError: not exactly one of `fraction` and `per_label`, or one that is out of range; the output is no split,
            or lies inside or around the data.
    """
    check_split_folder(output, data_folders([dataset]))
    if (fraction is None) == (per_label is None):
        raise ValueError("give either a fraction or a number per label")
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction={fraction}: give a number above 0 and up to 1")
        shares = np.array([fraction, 1 - fraction])
        keep = assign_groups(np.arange(len(dataset)), *image_labels([dataset]), shares, seed) == 0
    else:
        assert per_label is not None
        if per_label < 1:
            raise ValueError(f"per_label={per_label}: at least 1 is needed")
        keep = _choose_per_label(*image_labels([dataset]), len(dataset), per_label, seed)
    return _write([dataset], keep, Path(output))


def check_leaks(
    datasets: Sequence[KFashionDataset],
    output: str | Path | None = None,
    *,
    images: bool = False,
    max_distance: int = 4,
    workers: int = 1,
) -> dict[tuple[str, str], dict[str, int]]:
    """
    Find photographs that belong together and lie in different splits.

    Args:
        output: a CSV file for the pairs: every image with the first one of the other split that it belongs to.
        images, max_distance, workers: as for :func:`find_image_pairs`.

    Returns:
        (split, other split) -> kind -> number of images of the other split that leak. Splits are called by their
        folder's name, by their path where two have one name.

    Raises:
        ValueError: fewer than two splits.
    """
    if len(datasets) < 2:
        raise ValueError("leaks are between splits: give two or more")
    names = [dataset.split_dir.resolve().name for dataset in datasets]
    if len(set(names)) < len(names):
        names = [str(dataset.split_dir) for dataset in datasets]
    starts = np.cumsum([0] + [len(dataset) for dataset in datasets])
    pairs = find_image_pairs(datasets, images=images, max_distance=max_distance, workers=workers)
    sides = [np.searchsorted(starts, rows, side="right") - 1 for rows in (pairs.first, pairs.second)]
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for a, b in combinations(range(len(datasets)), 2):
        between = (sides[0] == a) & (sides[1] == b)
        counts[names[a], names[b]] = {
            kind: len(np.unique(pairs.second[between & (pairs.kind == i)])) for i, kind in enumerate(KINDS)
        }
    if output is not None:
        crossing = np.flatnonzero(sides[0] != sides[1])
        crossing = crossing[np.lexsort((pairs.kind[crossing], pairs.second[crossing], pairs.first[crossing]))]
        with new_file(output) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            writer = csv.writer(text)
            writer.writerow(["kind", *(f"{key}_{i}" for i in (1, 2) for key in ("split", "image_id", "file_name"))])
            for pair in crossing:
                row = [KINDS[pairs.kind[pair]]]
                for rows, side in zip((pairs.first, pairs.second), sides, strict=True):
                    dataset = datasets[side[pair]]
                    image = dataset[int(rows[pair] - starts[side[pair]])]
                    row += [names[side[pair]], image["image_id"], image["file_name"]]
                writer.writerow(row)
            text.flush()
            text.detach()
    return counts


def image_labels(datasets: Sequence[KFashionDataset]) -> tuple[np.ndarray, np.ndarray]:
    """
    List every known label of every image.

    Returns:
        rows (int64) and labels (int64) of every known label of every image, each pair once, in the order of the rows.
    """
    schema = datasets[0].schema
    names = [*(name for name in schema.group_names if name != CATEGORY_GROUP), "style", CATEGORY_GROUP]
    starts = np.cumsum([0, *(len(dataset) for dataset in datasets)])
    labels_by_split = [label_statistics.image_labels(dataset, names) for dataset in datasets]
    rows = np.concatenate([images + start for (images, _), start in zip(labels_by_split, starts, strict=False)])
    labels = np.concatenate([labels for _, labels in labels_by_split])
    order = np.lexsort((labels, rows))
    return rows[order], labels[order]


def assign_groups(
    groups: np.ndarray, rows: np.ndarray, labels: np.ndarray, shares: np.ndarray, seed: int
) -> np.ndarray:
    """
    Deal the groups out to splits one by one, in a random order, large ones first: each to the split where it least
    disturbs the shares of its labels. (Iterative stratification, which deals label by label, is hardly better than
    chance where an image has two dozen labels.) Being an image counts as one more label.

    Args:
        groups: int64 (N,), the group of every image, numbers from 0.
        rows, labels: as :func:`image_labels` gives them.
        shares: float (S,), sum 1.

    Returns:
        int64 (N,): the split of every image.
    """
    rows = np.concatenate([rows, np.arange(len(groups))])
    labels = np.concatenate([labels, np.full(len(groups), labels.max(initial=-1) + 1)])
    width = int(labels.max(initial=0)) + 1
    keys, counts = np.unique(groups[rows] * width + labels, return_counts=True)  # by group, then by label
    labels, totals = keys % width, np.bincount(keys % width, counts, minlength=width)
    sizes = np.bincount(groups)
    ends = np.cumsum(np.bincount(keys // width, minlength=len(sizes)))
    order = np.lexsort((np.random.default_rng(seed).permutation(len(sizes)), -sizes))
    # The sum over labels and splits of surplus ** 2 / (total of the label * share of the split), and what it grows by.
    surplus = np.zeros((width, len(shares)))
    scale = 1 / np.maximum(totals, 1)
    scale[-1] *= SIZE_WEIGHT
    part = np.zeros(len(sizes), dtype=np.int64)
    starts, stops = ends - np.diff(ends, prepend=0), ends
    for group in tqdm(order.tolist(), unit=" groups", desc="deal", disable=len(sizes) < 100_000):
        pairs = slice(starts[group], stops[group])
        group_labels, weights = labels[pairs], counts[pairs]
        before = surplus[group_labels] - weights[:, None] * shares
        with np.errstate(divide="ignore"):  # a share of 0 costs more than any other
            costs = ((scale[group_labels] * weights) @ (2 * before + weights[:, None])) / shares
        chosen = costs.argmin()
        before[:, chosen] += weights
        surplus[group_labels] = before
        part[group] = chosen
    return part[groups]


def _choose_per_label(rows: np.ndarray, labels: np.ndarray, num_rows: int, number: int, seed: int) -> np.ndarray:
    """Choose rows so that every label has at least `number` of them, or all that it has where they are fewer."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=1)
    ends = np.cumsum(counts)
    keep = np.zeros(num_rows, dtype=bool)
    rng = np.random.default_rng(seed)
    for label in np.argsort(counts, kind="stable"):
        label_rows = rows[order[ends[label] - counts[label] : ends[label]]]
        missing = number - int(keep[label_rows].sum())
        if missing > 0:
            keep[rng.permutation(label_rows[~keep[label_rows]])[:missing]] = True
    return keep


def _write(datasets: Sequence[KFashionDataset], keep: np.ndarray, folder: Path) -> dict[str, int]:
    return write_split(folder, select_rows(datasets, keep), datasets[0].meta, datasets[0].image_root)


def _check_together(datasets: Sequence[KFashionDataset]) -> None:
    for dataset in datasets[1:]:
        if (dataset.image_root, dataset.meta["zips"]) != (datasets[0].image_root, datasets[0].meta["zips"]):
            raise ValueError(
                f"{datasets[0].split_dir} has its images in {datasets[0].image_root}, {dataset.split_dir} in "
                f"{dataset.image_root}: convert them together, or name one root with --image-root"
            )
