"""
This module counts one split, or several, shard by shard.

Shapes: P parts, S styles, G garments, C label columns, Q groups of them (see label_columns.py).
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from ...schema import AttributeSchema
from ..store.shard import StoreShard
from .cooccurrence import Cooccurrence
from .label_columns import LabelColumns
from .label_statistics import has_file

__all__ = ["COLUMNS", "SplitCounts", "polygon_areas"]

COLUMNS = (
    "part",
    "area",
    "width",
    "height",
    "relative_size",
    "aspect_ratio",
    "vertices",
    "fill",
    "rect_iou",
    "rect_outside",
)


class SplitCounts:
    """
    These are the counts of one split, or of several.

    Attributes:
        labels, known, empty: int64 (P, C), (P, Q), (P, Q): garments that have a label; of which a group is known; that
            are known to have nothing of it.
        parts, part_images: int64 (P,), garments; images with one.
        combinations: int64 (2 ** P,), images; bit p says that part p is there.
        per_image, sizes: garments in an image -> images; (width, height) -> images.
        styles: int64 (S + 1, S + 1), images by style and sub-style, unknown last.
        pairs, image_pairs: of labels on a garment, for every part; of categories in an image.
        without_image: images of which there are labels alone.
        garments: the COLUMNS, float32 (G,), in the shards' pieces: the part's id; the box's area, width and height in
            pixels; the side of the square that takes the same share of the image, 0 to 1; width / height; vertices of
            the polygon, 0 where there is no sound one; its area / the box's area, NaN where there is none; the
            file's rect's IoU with the polygon's bounds and how many pixels it leaves the image, NaN where not known.
    """

    def __init__(self, columns: LabelColumns, schema: AttributeSchema):
        num_parts, num_groups, num_styles = len(schema.parts), len(columns.group_names), len(schema.styles) + 1
        self.columns, self.num_parts = columns, num_parts
        self.category_parts = np.array(schema.category_parts)
        self.labels = np.zeros((num_parts, len(columns.labels)), dtype=np.int64)
        self.known, self.empty = np.zeros((2, num_parts, num_groups), dtype=np.int64)
        self.parts, self.part_images = np.zeros((2, num_parts), dtype=np.int64)
        self.combinations = np.zeros(2**num_parts, dtype=np.int64)
        self.per_image: Counter = Counter()
        self.sizes: Counter = Counter()
        self.styles = np.zeros((num_styles, num_styles), dtype=np.int64)
        self.pairs = [Cooccurrence(columns.groups) for _ in range(num_parts)]
        self.image_pairs = Cooccurrence(self.category_parts)
        self.without_image = 0
        self.garments: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}

    def add(self, other: SplitCounts) -> None:
        for name in ("labels", "known", "empty", "parts", "part_images", "combinations", "styles"):
            getattr(self, name).__iadd__(getattr(other, name))
        self.per_image.update(other.per_image)
        self.sizes.update(other.sizes)
        self.without_image += other.without_image
        for pairs, other_pairs in zip([*self.pairs, self.image_pairs], [*other.pairs, other.image_pairs], strict=True):
            pairs.merge(other_pairs)
        for name, pieces in other.garments.items():
            self.garments[name] += pieces

    def add_shard(self, shard: StoreShard) -> None:
        counts = np.diff(shard.offsets)
        images = np.repeat(np.arange(len(counts)), counts)
        parts = np.asarray(shard.part).astype(np.int64)
        self._add_images(shard, counts, images, parts)
        self._add_labels(shard, images, parts, len(counts))
        self._add_geometry(shard, images, parts)

    def _add_images(self, shard: StoreShard, counts: np.ndarray, images: np.ndarray, parts: np.ndarray) -> None:
        values, numbers = np.unique(counts, return_counts=True)
        self.per_image.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))
        present = np.zeros((len(counts), self.num_parts), dtype=bool)
        present[images, parts] = True
        self.part_images += present.sum(axis=0)
        self.combinations += np.bincount(present @ (1 << np.arange(self.num_parts)), minlength=2**self.num_parts)
        np.add.at(self.styles, (shard.images["style"], shard.images["sub_style"]), 1)  # -1 is the last
        sizes, numbers = np.unique(
            np.stack([shard.images["width"], shard.images["height"]], axis=1), axis=0, return_counts=True
        )
        self.sizes.update(dict(zip(map(tuple, sizes.tolist()), numbers.tolist(), strict=True)))
        self.without_image += int((~has_file(shard)).sum())

    def _add_labels(self, shard: StoreShard, images: np.ndarray, parts: np.ndarray, num_images: int) -> None:
        labels, known = self.columns.read(shard)
        groups = self.columns.groups
        named = labels & ~self.columns.none
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        empty = known & ~np.logical_or.reduceat(named, starts, axis=1)
        self.parts += np.bincount(parts, minlength=self.num_parts)
        for part, pairs in enumerate(self.pairs):
            is_part = parts == part
            self.labels[part] += labels[is_part].sum(axis=0)
            self.known[part] += known[is_part].sum(axis=0)
            self.empty[part] += empty[is_part].sum(axis=0)
            pairs.add(named[is_part], known[is_part])
        categories = np.asarray(shard.category)
        worn = np.zeros((num_images, len(self.category_parts)), dtype=bool)
        worn[images[categories >= 0], categories[categories >= 0]] = True
        self.image_pairs.add(
            worn, np.stack([worn[:, self.category_parts == p].any(axis=1) for p in range(self.num_parts)], 1)
        )

    def _add_geometry(self, shard: StoreShard, images: np.ndarray, parts: np.ndarray) -> None:
        boxes = np.asarray(shard.boxes.values).reshape(-1, 4)
        width, height = boxes[:, 2], boxes[:, 3]
        picture = (shard.images["width"].astype(np.float64) * shard.images["height"])[images]
        vertices, area = polygon_areas(shard)
        columns = {
            "part": parts,
            "area": width * height,
            "width": width,
            "height": height,
            "relative_size": np.sqrt(width * height / picture),
            "aspect_ratio": width / height,
            "vertices": vertices,
            "fill": np.where(vertices > 0, area / (width * height), np.nan),
            **shard.rects,
        }
        for name, column in columns.items():
            self.garments[name].append(column.astype(np.float32))


def polygon_areas(shard: StoreShard) -> tuple[np.ndarray, np.ndarray]:
    """Count vertices, int64 (G,), 0 where there is no sound polygon; and compute areas, float64 (G,)."""
    offsets = np.asarray(shard.polygons.offsets).astype(np.int64) // 2
    points = np.asarray(shard.polygons.values).reshape(-1, 2)
    vertices = np.diff(offsets)
    area = np.zeros(len(vertices))
    sound = vertices > 0
    if sound.any():
        following = np.arange(1, len(points) + 1)
        following[offsets[1:][sound] - 1] = offsets[:-1][sound]
        x, y = points.T
        area[sound] = np.abs(np.add.reduceat(x * y[following] - x[following] * y, offsets[:-1][sound])) / 2
    return vertices, area
