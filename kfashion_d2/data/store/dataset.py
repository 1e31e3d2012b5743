"""
The store: a split as Arrow files, memory-mapped, one dict at a time.

A split's folder holds `shard-00000.arrow`, ... and `meta.json`. A row is an image; its garments are parallel lists
(`part`, `category`, ...), so that a row is read through views of the file, without building an Arrow scalar.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch.utils.data import Dataset

from ...schema import CATEGORY_GROUP, UNKNOWN, AttributeSchema, kfashion_schema
from .schema import FILE_FIELDS, FORMAT, IMAGE_FIELDS, NOT_APPLICABLE, RECT_FIELDS
from .zip_handler import register_zip_handler
from .zip_reader import PREFIX

__all__ = ["KFashionDataset", "read_meta"]

_NOT_APPLICABLE_LIST = [NOT_APPLICABLE]
_NUMBERS = ("image_id", "height", "width", "style", "sub_style", "zip")
_TEXTS = ("file_name", "label_file", "original_file_name", "created")
_PLACE = ("zip_offset", "zip_compressed_size", "zip_entry_size", "zip_method")


def read_meta(split_dir: str | Path, schema: AttributeSchema) -> dict[str, Any]:
    """
    A split's `meta.json`, checked.

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


def _numbers(array: pa.Array) -> np.ndarray:
    """A view of a column of numbers without nulls. (Arrow's own way loads pandas, where there is one, at first use.)"""
    _, buffer = array.buffers()
    dtype = np.dtype({"double": "float64", "float": "float32"}.get(str(array.type), str(array.type)))
    if buffer is None:
        return np.empty(0, dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=len(array), offset=array.offset * dtype.itemsize)


def _list_offsets(array: pa.ListArray | pa.StringArray) -> np.ndarray:
    """int32 (rows + 1,)"""
    offsets = array.buffers()[1]
    if offsets is None:
        return np.zeros(1, dtype=np.int32)
    return np.frombuffer(offsets, dtype=np.int32, count=len(array) + 1, offset=4 * array.offset)


class _Lists:
    """A list column: row i is `values[offsets[i] : offsets[i + 1]]`."""

    __slots__ = ("offsets", "values")

    def __init__(self, array: pa.ListArray):
        # A memoryview's items are Python numbers already, at half the cost of NumPy's.
        self.offsets = memoryview(_list_offsets(array))
        self.values = memoryview(_numbers(array.values))


class _Texts:
    """A string column: row i is `data[offsets[i] : offsets[i + 1]]`, UTF-8."""

    __slots__ = ("data", "offsets")

    def __init__(self, array: pa.StringArray):
        self.offsets = memoryview(_list_offsets(array))
        self.data = memoryview(array.buffers()[2] or b"")


class _Shard:
    """The columns of one Arrow file, mapped on first use."""

    def __init__(self, path: Path, schema: AttributeSchema):
        with pa.memory_map(str(path)) as source:
            self.batch = batch = pa.ipc.open_file(source).get_batch(0)
        fields = {**IMAGE_FIELDS, **FILE_FIELDS}
        self.images = {name: _numbers(batch.column(name)) for name, kind in fields.items() if kind != pa.string()}
        self.texts = {name: _Texts(batch.column(name)) for name, kind in fields.items() if kind == pa.string()}
        # All lists of garments have the same offsets: those of one column serve for all.
        self.offsets = _list_offsets(batch.column("part"))
        self.part, self.index, self.category = (
            memoryview(_numbers(batch.column(name).values)) for name in ("part", "index", "category")
        )
        self.boxes = _Lists(batch.column("bbox").values)
        self.polygons = _Lists(batch.column("polygon").values)
        self.single: list[tuple[str, memoryview]] = []
        self.multi: list[tuple[str, _Lists]] = []
        for group in schema.groups:
            values = batch.column(f"attribute/{group.name}").values
            if group.is_single:
                self.single.append((group.name, memoryview(_numbers(values))))
            else:
                self.multi.append((group.name, _Lists(values)))
        # By garment, for statistics; see store_schema.py.
        self.rects = {name: _numbers(batch.column(name).values) for name in RECT_FIELDS}
        # What a dict is made of, in one tuple each: unpacking it costs less than an attribute for every column.
        self.image_views = (
            memoryview(self.offsets),
            *(memoryview(self.images[name]) for name in _NUMBERS),
            *(view for name in _TEXTS for view in (self.texts[name].offsets, self.texts[name].data)),
        )
        self.place_views = tuple(memoryview(self.images[name]) for name in _PLACE)
        self.garment_views = (
            self.part,
            self.index,
            self.category,
            self.boxes.values,
            self.polygons.offsets,
            self.polygons.values,
            self.single,
            [(name, lists.offsets, lists.values) for name, lists in self.multi],
        )


class KFashionDataset(Dataset):
    """
    A converted split as a sequence of Detectron2 dataset dicts, made when asked for. A million images open at once
    and share their memory between processes; pickling it costs nothing, the other side maps the files again.

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
        root = Path(image_root) if image_root else self.split_dir / self.meta["image_root"]
        self.image_root = os.path.normpath(os.path.abspath(root))
        self._zip_tails = [
            f"-{zip['size']}-{zip['mtime_ns']}{os.path.join(self.image_root, zip['path'])}!/"
            for zip in self.meta["zips"]
        ]
        if self._zip_tails:
            register_zip_handler()
        self._part_names = [part.name for part in base.parts.labels]
        self._ends = np.cumsum(self.meta["rows"]).tolist()
        self._shards: list[_Shard | None] = [None] * len(self._ends)

    def __getstate__(self) -> dict[str, Any]:
        lazy = {"image_ids", "num_garments", "_id_order"}
        state = {key: value for key, value in self.__dict__.items() if key not in lazy}
        return {**state, "_shards": [None] * len(self._ends)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._zip_tails:
            # A spawned data loader worker may hold a stock mapper, which knows nothing of us.
            register_zip_handler()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _shard(self, number: int) -> _Shard:
        shard = self._shards[number]
        if shard is None:
            shard = self._shards[number] = _Shard(self.split_dir / f"shard-{number:05d}.arrow", self._base_schema)
        return shard

    def shards(self) -> Iterator[_Shard]:
        """The columns of every file, in order: for statistics over all garments without a dict."""
        return map(self._shard, range(len(self._ends)))

    def column(self, name: str) -> np.ndarray:
        """A column of numbers over all images ("image_id", "height", "style", ...), (N,)."""
        parts = [shard.images[name] for shard in self.shards()]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    @cached_property
    def image_ids(self) -> np.ndarray:
        """int64 (N,)"""
        return self.column("image_id")

    @cached_property
    def num_garments(self) -> np.ndarray:
        """int64 (N,): garments of each image, those of unknown category too."""
        parts = [np.diff(shard.offsets) for shard in self.shards()]
        return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)

    @cached_property
    def _id_order(self) -> np.ndarray:
        return np.argsort(self.image_ids, kind="stable")

    def index_of(self, image_id: int) -> int:
        """
        Raises:
            KeyError: no image has this id.
        """
        place = np.searchsorted(self.image_ids, image_id, sorter=self._id_order)
        if place == len(self) or self.image_ids[self._id_order[place]] != image_id:
            raise KeyError(image_id)
        return int(self._id_order[place])

    def __getitem__(self, index: int) -> dict[str, Any]:
        """
        The dataset dict of an image, new at every call.

        Raises:
            IndexError: past the end.
        """
        index = int(index)
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)} in {self.split_dir}")
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

    def _file_name(self, shard: _Shard, row: int, name: str, number: int) -> str:
        if not name:
            return ""
        if number < 0:
            return f"{self.image_root}{os.sep}{name}"
        offsets, compressed_sizes, sizes, methods = shard.place_views
        # As :func:`zip_uri` writes it.
        place = f"{offsets[row]}-{compressed_sizes[row]}-{sizes[row]}-{methods[row]}"
        return f"{PREFIX}{place}{self._zip_tails[number]}{name}"

    def _annotation(self, shard: _Shard, garment: int) -> dict[str, Any]:
        parts, places, categories, boxes, polygon_at, polygons, single, multi = shard.garment_views
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
            "index": places[garment],
            "category_id": class_id,
            "bbox": bbox,
            "bbox_mode": 1,  # BoxMode.XYWH_ABS
            "iscrowd": 0,
            "segmentation": [polygon],
            "mask_valid": mask_valid,
            "attributes": attributes,
        }
