"""
This module keeps ground truth and detections of many images as arrays: what COCO's dicts hold, at a fraction of their
size.

Shapes: N objects of all images together, K categories, A attributes. Boxes are XYWH, in pixels, as COCO's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import pycocotools.mask as mask_util

__all__ = ["Masks", "ObjectArrays", "group_starts", "pack_attributes", "pack_multi_hot", "present", "to_rle"]


Field = TypeVar("Field")

_BLOCK = 255  # masks: as many as pycocotools 2.0.11 measures at once


class Masks(Sequence):
    """N masks are kept as COCO's compressed RLE, one string of bytes for all; an item is pycocotools' dict."""

    def __init__(self, sizes: np.ndarray, offsets: np.ndarray, counts: bytes):
        """
        Keep N masks.

        Args:
            sizes: int (N, 2), height and width of each.
            offsets: int64 (N + 1,), mask i is counts[offsets[i]:offsets[i + 1]].
            counts: what RLE's "counts" hold, one after the other.
        """
        self.sizes, self.offsets, self.counts = sizes, offsets, counts

    @classmethod
    def from_rles(cls, rles: Iterable[dict[str, Any]]) -> Masks:
        """Gather pycocotools' dicts, whose counts are bytes or text."""
        sizes, counts = [], []
        for rle in rles:
            sizes.append(rle["size"])
            counts.append(rle["counts"].encode() if isinstance(rle["counts"], str) else rle["counts"])
        lengths = np.fromiter(map(len, counts), dtype=np.int64, count=len(counts))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return cls(np.array(sizes, dtype=np.int32).reshape(-1, 2), offsets, b"".join(counts))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index):
        index = range(len(self))[index]
        counts = self.counts[self.offsets[index] : self.offsets[index + 1]]
        return {"size": self.sizes[index].tolist(), "counts": counts}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for block in self._blocks():
            yield from block

    def _blocks(self) -> Iterator[list[dict[str, Any]]]:
        """Yield pycocotools' dicts of up to _BLOCK masks at a time."""
        for start in range(0, len(self), _BLOCK):
            sizes = self.sizes[start : start + _BLOCK].tolist()
            offsets = self.offsets[start : start + _BLOCK + 1].tolist()
            yield [
                {"size": size, "counts": self.counts[first:last]}
                for size, first, last in zip(sizes, offsets[:-1], offsets[1:], strict=True)
            ]

    def take(self, rows: np.ndarray) -> Masks:
        """Return the masks of some rows, int (M,), in the order given."""
        return Masks.from_rles(self[row] for row in rows.tolist())

    def areas(self) -> np.ndarray:
        """Return how many pixels each mask has, float64 (N,)."""
        return np.concatenate([np.zeros(0), *(mask_util.area(block) for block in self._blocks())])


@dataclass(frozen=True)
class ObjectArrays:
    """
    These arrays have the ground truth, or the detections, of many images.

    Attributes:
        images: int64 (N,), the index of the object's image among the images.
        categories: int64 (N,), the index of its category, 0 to K - 1.
        boxes: float64 (N, 4), XYWH.
        areas: float64 (N,), what small, medium and large go by; square pixels.
        scores: float64 (N,), of detections; None of ground truth.
        crowd: bool (N,), regions where detections are excused; None of detections.
        masks: N compressed RLEs of pycocotools (dicts of "size" and "counts"); None where boxes are compared.
        attributes: uint8 (N, ceil(A / 8)), one bit an attribute, as :func:`pack_attributes` gives them.
    """

    images: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    scores: np.ndarray | None = None
    crowd: np.ndarray | None = None
    masks: Sequence[dict[str, Any]] | None = None
    attributes: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("categories", "boxes", "areas", "scores", "crowd", "masks", "attributes"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.images):
                raise ValueError(f"{name} has {len(value)} rows, but images has {len(self.images)}")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> ObjectArrays:
        """Return the objects of some rows, int (M,), in the order given."""
        arrays = ("images", "categories", "boxes", "areas", "scores", "crowd", "attributes")
        kept = {name: getattr(self, name)[rows] for name in arrays if getattr(self, name) is not None}
        if self.masks is not None:
            masks = self.masks
            kept["masks"] = masks.take(rows) if isinstance(masks, Masks) else [masks[row] for row in rows.tolist()]
        return replace(self, **kept)


def present(field: Field | None) -> Field:
    """Return a field of ObjectArrays that is optional, but always there in the use at hand."""
    assert field is not None
    return field


def group_starts(keys: np.ndarray) -> np.ndarray:
    """Return where each group of equal keys starts, and the end, int64 (groups + 1,), of sorted keys (N,)."""
    if not len(keys):
        return np.zeros(1, dtype=np.int64)
    return np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1, [len(keys)]])


def pack_multi_hot(multi_hot: np.ndarray) -> np.ndarray:
    """Pack bool or 0/1 (N, A) into bits, uint8 (N, ceil(A / 8))."""
    return np.packbits(np.asarray(multi_hot, dtype=bool), axis=1)


def pack_attributes(
    ids_per_object: Iterable[Iterable[int]], attribute_ids: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """
    Pack lists of attribute ids into bits; bit i stands for the i-th id of the vocabulary in ascending order.

    Args:
        ids_per_object: N lists; an id that is there twice counts once.
        attribute_ids: A distinct ids.

    Returns:
        uint8 (N, ceil(A / 8)) and bool (N,): whether all ids of the object are of the vocabulary.
    """
    lists = [tuple(ids) for ids in ids_per_object]
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    flat = np.fromiter(chain.from_iterable(lists), dtype=np.int64, count=int(lengths.sum()))
    vocabulary = np.sort(np.asarray(attribute_ids, dtype=np.int64))
    columns = np.searchsorted(vocabulary, flat)
    known = np.zeros(len(flat), dtype=bool)
    inside = columns < len(vocabulary)
    known[inside] = vocabulary[columns[inside]] == flat[inside]
    rows = np.repeat(np.arange(len(lists)), lengths)
    sound = np.ones(len(lists), dtype=bool)
    sound[rows[~known]] = False
    rows, columns = rows[known], columns[known]
    packed = np.zeros((len(lists), (len(vocabulary) + 7) // 8), dtype=np.uint8)
    step = 1 << 16  # the unpacked rows of a million objects would take hundreds of megabytes
    for start in range(0, len(lists), step):
        first, last = np.searchsorted(rows, [start, start + step])
        multi_hot = np.zeros((min(step, len(lists) - start), len(vocabulary)), dtype=bool)
        multi_hot[rows[first:last] - start, columns[first:last]] = True
        packed[start : start + step] = pack_multi_hot(multi_hot)
    return packed, sound


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Turn COCO's polygons, uncompressed or compressed RLE, into compressed RLE."""
    if isinstance(segmentation, list):
        return mask_util.merge(mask_util.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return mask_util.frPyObjects(segmentation, height, width)
    return segmentation
