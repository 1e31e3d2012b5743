"""
This module reads the store: a split as Arrow files, memory-mapped, one dict at a time.

A split's folder holds `shard-00000.arrow`, ... and `meta.json`. A row is an image; its garments are parallel lists
(`part`, `category`, ...), so that a row is read through views of the file, without building an Arrow scalar.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from torch.utils.data import Dataset

from ...schema import CATEGORY_GROUP, UNKNOWN, AttributeSchema, kfashion_schema
from .schema import FORMAT, NOT_APPLICABLE
from .shard import StoreShard
from .zip_handler import register_zip_handler
from .zip_reader import zip_uri

__all__ = ["KFashionDataset", "read_meta"]

_NOT_APPLICABLE_LIST = [NOT_APPLICABLE]


def read_meta(split_dir: str | Path, schema: AttributeSchema) -> dict[str, Any]:
    """
    Read a split's `meta.json`, and check it.

    Raises:
        FileNotFoundError: the folder holds no converted split.
        ValueError: it was made with another schema, or by another version of the store.
    """
    path = Path(split_dir, "meta.json")
    if not path.is_file():
        raise FileNotFoundError(
            f"{split_dir} holds no converted split; make one with 'python tools/convert_kfashion.py DATA_ROOT "
            "--output DIR' and give DIR/<split>"
        )
    meta = json.loads(path.read_text(encoding="utf-8"))
    if meta.get("format") != FORMAT:
        raise ValueError(f"{path} has format {meta.get('format')}, this version reads {FORMAT}: convert the data again")
    if meta["schema"]["hash"] != schema.hash:
        raise ValueError(
            f"{path} was made with schema {meta['schema']['hash']} ({meta['schema']['name']}), but schema "
            f"{schema.hash} ({schema.name}) reads it: convert the data again, or give the schema file that it was made "
            "with (DATASETS.KFASHION.SCHEMA)"
        )
    return meta


class KFashionDataset(Dataset[dict[str, Any]], Sequence[dict[str, Any]]):
    """
    This dataset is a converted split as a sequence of Detectron2 dataset dicts, which are made when asked for. A
    million images open in no time and share their memory between processes; pickling costs nothing, as the other side
    maps the files again.

    Attributes:
        classes (str): the class mode.
        schema (AttributeSchema): of the annotations' `attributes`: in part mode with the category group.
        store_hash (str): of the split's content.
    """

    def __init__(
        self,
        split_dir: str | Path,
        classes: str = "category",
        *,
        image_root: str | Path | None = None,
        schema: AttributeSchema | None = None,
    ):
        """
        Open a split; its files are mapped when they are first read.

        Args:
            split_dir: a split that the converter wrote, as in `datasets/kfashion/train`.
            classes: "category", "part" or "category_or_part".
            image_root: where the images are, if they moved since conversion.
            schema: the vocabulary it was converted with, if not K-Fashion's.

        Raises:
            FileNotFoundError, ValueError: as :func:`read_meta` says, or there is no such class mode.
        """
        self.split_dir = Path(split_dir)
        self.classes = classes
        base = schema or kfashion_schema()
        self._base_schema = base
        self.schema = base.for_classes(classes)
        self.meta = read_meta(split_dir, base)
        self.store_hash: str = self.meta["store_hash"]
        # Relative to where the split really is: through a link, ".." leads elsewhere.
        root = Path(image_root) if image_root else self.split_dir.resolve() / self.meta["image_root"]
        self.image_root = os.path.normpath(os.path.abspath(root))
        self._archives = [
            (os.path.join(self.image_root, archive["path"]), archive["size"], archive["mtime_ns"])
            for archive in self.meta["zips"]
        ]
        if self._archives:
            register_zip_handler()
        self._part_names = [part.name for part in base.parts.labels]
        self._ends = np.cumsum(self.meta["rows"]).tolist()
        self._shards: list[StoreShard | None] = [None] * len(self._ends)

    def __getstate__(self) -> dict[str, Any]:
        lazy = {"image_ids", "num_garments", "_id_order"}
        state = {key: value for key, value in self.__dict__.items() if key not in lazy}
        return {**state, "_shards": [None] * len(self._ends)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._archives:
            # A spawned data loader worker may hold a stock mapper, which knows nothing of us.
            register_zip_handler()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _shard(self, number: int) -> StoreShard:
        shard = self._shards[number]
        if shard is None:
            shard = self._shards[number] = StoreShard(self.split_dir / f"shard-{number:05d}.arrow", self._base_schema)
        return shard

    def shards(self) -> Iterator[StoreShard]:
        """Yield the columns of every file, in order: for statistics over all garments without a dict."""
        return map(self._shard, range(len(self._ends)))

    def column(self, name: str) -> np.ndarray:
        """Return a column of numbers over all images ("image_id", "height", "style", ...), (N,)."""
        parts = [shard.images[name] for shard in self.shards()]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    @cached_property
    def image_ids(self) -> np.ndarray:
        """Return the ids of all images, int64 (N,)."""
        return self.column("image_id")

    @cached_property
    def num_garments(self) -> np.ndarray:
        """Count the garments of each image, those of unknown category too; int64 (N,)."""
        parts = [np.diff(shard.offsets) for shard in self.shards()]
        return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)

    @cached_property
    def _id_order(self) -> np.ndarray:
        return np.argsort(self.image_ids, kind="stable")

    def index_of(self, image_id: int) -> int:
        """
        Return the index of an image by its id.

        Raises:
            KeyError: no image has this id.
        """
        row = np.searchsorted(self.image_ids, image_id, sorter=self._id_order)
        if row == len(self) or self.image_ids[self._id_order[row]] != image_id:
            raise KeyError(image_id)
        return int(self._id_order[row])

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """
        Make the dataset dict of an image, or those of a slice; new ones at every call.

        Raises:
            IndexError: past the end.
        """
        if isinstance(index, slice):
            return [self._record(i) for i in range(*index.indices(len(self)))]
        index = int(index)
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)} in {self.split_dir}")
        return self._record(index)

    def _record(self, index: int) -> dict[str, Any]:
        number = bisect_right(self._ends, index)
        row = index - (self._ends[number - 1] if number else 0)
        shard = self._shards[number] or self._shard(number)
        # fmt: off
        (
            spans, image_ids, heights, widths, styles, sub_styles, zips,
            file_at, files, label_at, labels, original_at, originals, created_at, created,
        ) = shard.image_views
        # fmt: on
        end = row + 1
        annos = [self._annotation(shard, garment) for garment in range(spans[row], spans[end])]
        return {
            "file_name": self._file_name(shard, row, str(files[file_at[row] : file_at[end]], "utf-8"), zips[row]),
            "image_id": image_ids[row],
            "height": heights[row],
            "width": widths[row],
            "style": styles[row],
            "sub_style": sub_styles[row],
            "part_combination": "+".join(dict.fromkeys([anno["part"] for anno in annos])),
            "label_file": str(labels[label_at[row] : label_at[end]], "utf-8"),
            "original_file_name": str(originals[original_at[row] : original_at[end]], "utf-8"),
            "created": str(created[created_at[row] : created_at[end]], "utf-8"),
            "annotations": annos,
        }

    def _file_name(self, shard: StoreShard, row: int, name: str, number: int) -> str:
        if not name:
            return ""
        if number < 0:
            return f"{self.image_root}{os.sep}{name}"
        offsets, compressed_sizes, sizes, methods = shard.location_views
        path, *archive_facts = self._archives[number]
        return zip_uri(path, name, (offsets[row], compressed_sizes[row], sizes[row], methods[row], *archive_facts))

    def _annotation(self, shard: StoreShard, garment: int) -> dict[str, Any]:
        parts, indices, categories, boxes, polygon_at, polygons, single, multi, crowd = shard.garment_views
        part_id = parts[garment]
        category = class_id = categories[garment]
        attributes: dict[str, int | list[int]] = {
            name: value for name, column in single if (value := column[garment]) != NOT_APPLICABLE
        }
        end = garment + 1
        for name, at, column in multi:
            values = column[at[garment] : at[end]].tolist()
            if values != _NOT_APPLICABLE_LIST:
                attributes[name] = values
        if self.classes == "part":
            attributes[CATEGORY_GROUP] = category
            class_id = part_id
        elif category == UNKNOWN and self.classes == "category_or_part":
            class_id = len(self.schema.categories) + part_id
        bbox = boxes[4 * garment : 4 * end].tolist()
        polygon = polygons[polygon_at[garment] : polygon_at[end]].tolist()
        mask_valid = bool(polygon)
        if not mask_valid:
            x, y, w, h = bbox
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        return {
            "part": self._part_names[part_id],
            "index": indices[garment],
            "category_id": class_id,
            "bbox": bbox,
            "bbox_mode": 1,  # BoxMode.XYWH_ABS
            "iscrowd": crowd[garment] if crowd is not None else 0,
            "segmentation": [polygon],
            "mask_valid": mask_valid,
            "attributes": attributes,
        }
