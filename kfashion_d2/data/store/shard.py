"""
This module reads one Arrow file of a split: its columns as views, from which a row is read without building an Arrow
scalar.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ...schema import AttributeSchema
from .schema import CROWD, FILE_FIELDS, IMAGE_FIELDS, RECT_FIELDS

__all__ = ["StoreShard"]

_NUMBERS = ("image_id", "height", "width", "style", "sub_style", "zip")
_TEXTS = ("file_name", "label_file", "original_file_name", "created")
_LOCATION = ("zip_offset", "zip_compressed_size", "zip_entry_size", "zip_method")


def _numbers(array: pa.Array) -> np.ndarray:
    """
    Return a view of a column of numbers without nulls. (Arrow's own way loads pandas, where there is one, at first
    use.)
    """
    _, buffer = array.buffers()
    dtype = np.dtype({"double": "float64", "float": "float32"}.get(str(array.type), str(array.type)))
    if buffer is None:
        return np.empty(0, dtype=dtype)
    return np.frombuffer(buffer, dtype=dtype, count=len(array), offset=array.offset * dtype.itemsize)


def _view(values: Any) -> memoryview:
    """Return a view whose items are Python numbers already, which costs half of taking them out of an array."""
    return memoryview(values)


def _list_offsets(array: pa.ListArray | pa.StringArray) -> np.ndarray:
    """Return where the rows of a list column begin, int32 (rows + 1,)."""
    offsets = array.buffers()[1]
    if offsets is None:
        return np.zeros(1, dtype=np.int32)
    return np.frombuffer(offsets, dtype=np.int32, count=len(array) + 1, offset=4 * array.offset)


class _Lists:
    """This is a list column: row i is `values[offsets[i] : offsets[i + 1]]`."""

    __slots__ = ("offsets", "values")

    def __init__(self, array: pa.ListArray):
        self.offsets = _view(_list_offsets(array))
        self.values = _view(_numbers(array.values))


class _Texts:
    """This is a string column: row i is `data[offsets[i] : offsets[i + 1]]`, UTF-8."""

    __slots__ = ("data", "offsets")

    def __init__(self, array: pa.StringArray):
        self.offsets = _view(_list_offsets(array))
        self.data = _view(array.buffers()[2] or b"")


class StoreShard:
    """A shard has the columns of one Arrow file, mapped on first use."""

    def __init__(self, path: Path, schema: AttributeSchema):
        with pa.memory_map(str(path)) as source:
            self.batch = batch = pa.ipc.open_file(source).get_batch(0)
        fields = {**IMAGE_FIELDS, **FILE_FIELDS}
        self.images = {name: _numbers(batch.column(name)) for name, kind in fields.items() if kind != pa.string()}
        self.texts = {name: _Texts(batch.column(name)) for name, kind in fields.items() if kind == pa.string()}
        # All lists of garments have the same offsets: those of one column serve for all.
        self.offsets = _list_offsets(batch.column("part"))
        self.part, self.index, self.category = (
            _view(_numbers(batch.column(name).values)) for name in ("part", "index", "category")
        )
        # int8 (G,), where the split has crowd regions at all.
        self.crowd = _view(_numbers(batch.column(CROWD).values)) if CROWD in batch.schema.names else None
        self.boxes = _Lists(batch.column("bbox").values)
        self.polygons = _Lists(batch.column("polygon").values)
        self.single: list[tuple[str, memoryview]] = []
        self.multi: list[tuple[str, _Lists]] = []
        for group in schema.groups:
            values = batch.column(f"attribute/{group.name}").values
            if group.is_single:
                self.single.append((group.name, _view(_numbers(values))))
            else:
                self.multi.append((group.name, _Lists(values)))
        # By garment, for statistics; see schema.py.
        self.rects = {name: _numbers(batch.column(name).values) for name in RECT_FIELDS}
        # What a dict is made of, in one tuple each: unpacking it costs less than an attribute for every column.
        self.image_views = (
            _view(self.offsets),
            *(_view(self.images[name]) for name in _NUMBERS),
            *(view for name in _TEXTS for view in (self.texts[name].offsets, self.texts[name].data)),
        )
        self.location_views = tuple(_view(self.images[name]) for name in _LOCATION)
        self.garment_views = (
            self.part,
            self.index,
            self.category,
            self.boxes.values,
            self.polygons.offsets,
            self.polygons.values,
            self.single,
            [(name, lists.offsets, lists.values) for name, lists in self.multi],
            self.crowd,
        )
