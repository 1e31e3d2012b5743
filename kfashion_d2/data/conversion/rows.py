"""
This module holds images that were read, on their way to the store's columns: a shard's polygons are checked together in
NumPy, and its Arrow arrays are made of joined buffers.

Shapes: N images, G garments of them all, P points of all polygons.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ...schema import AttributeSchema
from ..annotation.geometry import LIMIT, MIN_IOU
from ..store.schema import IMAGE_FIELDS, NOT_APPLICABLE, RECT_FIELDS, parsed_schema

__all__ = ["ImageRow", "merge_rows", "record_row", "resolve_rows", "rows_to_table"]

MIN_AREA = 1.0  # square pixels; below it the points may lie on a line, which is for the slow way to tell
NUM_GEOMETRY = 6


class GarmentRow(NamedTuple):
    """
    This is a garment on its way to the store, as bytes that need only be joined.

    Attributes:
        ids: int8: its part, its category, and the id of every single group.
        multi_ids: of every multi group its ids, int8.
        polygon: float64: x1, y1, x2, y2, ..., empty where there is no sound one.
        index: in the part's list.
        rect: float64: the rect as in the file, of a row to be resolved; else the box, `rect_iou` and `rect_outside`.
    """

    ids: bytes | bytearray
    multi_ids: list[bytes]
    polygon: bytes
    index: int  # type: ignore[assignment]  # a NamedTuple also has the method
    rect: bytes


class ImageRow(NamedTuple):
    """
    This is an image with its garments, on its way to the store.

    Attributes:
        image: the values of IMAGE_FIELDS.
        garments: in the order of the file.
    """

    image: tuple
    garments: list[GarmentRow]


def record_row(record: Mapping[str, Any], rects: Sequence[tuple[float, float]], schema: AttributeSchema) -> ImageRow:
    """Make the row of what :func:`read_annotation` gives; there is nothing to resolve."""
    parts = {part.name: i for i, part in enumerate(schema.parts.labels)}
    single = [group.name for group in schema.groups if group.is_single]
    multi = [group.name for group in schema.groups if not group.is_single]
    garments: list[GarmentRow] = []
    for anno, rect in zip(record["annotations"], rects, strict=True):
        attributes = anno["attributes"]
        ids = [parts[anno["part"]], anno["category_id"], *(attributes.get(name, NOT_APPLICABLE) for name in single)]
        lists = [attributes.get(name, [NOT_APPLICABLE]) for name in multi]
        polygon = anno["segmentation"][0] if anno["mask_valid"] else []
        numbers = struct.pack("6d", *anno["bbox"], *rect)
        multi_ids = list(map(_int8, lists))
        garments.append(GarmentRow(_int8(ids), multi_ids, _float64(polygon), anno["index"], numbers))
    return ImageRow(tuple(record[name] for name in IMAGE_FIELDS), garments)


def _int8(values: Sequence[int]) -> bytes:
    return struct.pack(f"{len(values)}b", *values)


def _float64(values: Sequence[float]) -> bytes:
    return struct.pack(f"{len(values)}d", *values)


def resolve_rows(rows: Sequence[ImageRow]) -> tuple[np.ndarray, np.ndarray]:
    """
    Apply the box rule of :func:`resolve_geometry` where it finds nothing to note.

    Returns:
        geometry: float64 (G, 6): the polygons' bounds as XYWH, `rect_iou` and `rect_outside`.
        sound: bool (N,): False where any garment of the image needs the slow way.
    """
    sound = np.ones(len(rows), dtype=bool)
    garments = [garment for row in rows for garment in row.garments]
    if not garments:
        return np.empty((0, NUM_GEOMETRY)), sound
    counts = [len(row.garments) for row in rows]
    owner = np.repeat(np.arange(len(rows)), counts)
    points = np.frombuffer(b"".join([garment.polygon for garment in garments])).reshape(-1, 2)
    rect = np.frombuffer(b"".join([garment.rect for garment in garments])).reshape(-1, 4)
    size = np.array([(row.image[2], row.image[1]) for row in rows], dtype=np.float64).repeat(counts, axis=0)
    ends = np.cumsum([len(garment.polygon) // 16 for garment in garments])
    starts = np.concatenate([[0], ends[:-1]])
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    good = (low >= 0).all(axis=1) & (high <= size).all(axis=1) & points[ends - 1].any(axis=1)
    with np.errstate(all="ignore"):  # absurd numbers are refused here
        good &= np.abs(_signed_areas(points, starts, ends)) >= MIN_AREA
        good &= (np.abs(rect) < LIMIT).all(axis=1) & (rect[:, 2:] > 0).all(axis=1)
        far = rect[:, :2] + rect[:, 2:]
        rect_low, rect_high = np.clip(rect[:, :2], 0, size), np.clip(far, 0, size)
        shared = np.minimum(high, rect_high) - np.maximum(low, rect_low)
        good &= (rect_high > rect_low).all(axis=1) & (shared > 0).all(axis=1)
        extent, rect_extent = high - low, rect_high - rect_low
        shared_area = shared[:, 0] * shared[:, 1]
        union = extent[:, 0] * extent[:, 1] + rect_extent[:, 0] * rect_extent[:, 1] - shared_area
        iou = shared_area / union
        good &= ~(iou < MIN_IOU)
        outside = np.maximum(np.maximum(-rect[:, :2], far - size), 0).max(axis=1)
    sound[owner[~good]] = False
    return np.concatenate([low, extent, iou[:, None], outside[:, None]], axis=1), sound


def _signed_areas(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Compute the signed areas of the closed rings points[starts[i] : ends[i]], (G,)."""
    x, y = points[:, 0], points[:, 1]
    previous = np.arange(-1, len(points) - 1)
    previous[starts] = ends - 1
    return np.add.reduceat(x[previous] * y - x * y[previous], starts) / 2


def merge_rows(
    resolved: list[tuple[int, ImageRow]], geometry: np.ndarray, others: list[tuple[int, ImageRow]]
) -> tuple[list[tuple[int, ImageRow]], np.ndarray]:
    """
    Put the rows of the fast way and of the slow way into one order.

    Args:
        resolved: (row's number, row), ascending, with their `geometry` as of :func:`resolve_rows`.
        others: the same of :func:`record_row`.

    Returns:
        All of them, ascending, with their geometry.
    """
    if not others:
        return resolved, geometry
    numbers = {number for number, _ in others}
    merged = sorted([*resolved, *others], key=lambda pair: pair[0])
    is_other = np.repeat([number in numbers for number, _ in merged], [len(row.garments) for _, row in merged])
    joined = np.empty((len(is_other), NUM_GEOMETRY))
    joined[~is_other] = geometry
    known = b"".join([garment.rect for _, row in others for garment in row.garments])
    joined[is_other] = np.frombuffer(known).reshape(-1, NUM_GEOMETRY)
    return merged, joined


def rows_to_table(rows: Sequence[ImageRow], geometry: np.ndarray, schema: AttributeSchema) -> pa.Table:
    """
    Make the columns of an Arrow table that annotations alone give.

    Args:
        rows: N of them.
        geometry: float64 (G, 6), as of :func:`resolve_rows`.

    Returns:
        Their columns, as :func:`parsed_schema` says.
    """
    fields = parsed_schema(schema)
    garments = [garment for row in rows for garment in row.garments]
    by_image = _list_maker(_offsets([len(row.garments) for row in rows]))
    columns = zip(*(row.image for row in rows), strict=True) if rows else [()] * len(IMAGE_FIELDS)
    arrays: dict[str, Any] = {
        name: pa.array(values, fields.field(name).type) for name, values in zip(IMAGE_FIELDS, columns, strict=True)
    }
    single = [group.name for group in schema.groups if group.is_single]
    names = ["part", "category", *(f"attribute/{name}" for name in single)]
    ids = np.frombuffer(b"".join([garment.ids for garment in garments]), dtype=np.int8).reshape(-1, len(names))
    for name, column in zip(names, np.ascontiguousarray(ids.T), strict=True):
        arrays[name] = by_image(pa.array(column))
    multi = [group.name for group in schema.groups if not group.is_single]
    for position, name in enumerate(multi):
        arrays[f"attribute/{name}"] = by_image(_joined([garment.multi_ids[position] for garment in garments], np.int8))
    arrays["polygon"] = by_image(_joined([garment.polygon for garment in garments], np.float64))
    arrays["index"] = by_image(pa.array([garment.index for garment in garments], pa.int32()))
    four = _list_maker(pa.array(np.arange(len(garments) + 1, dtype=np.int32) * 4))
    arrays["bbox"] = by_image(four(pa.array(geometry[:, :4].ravel())))
    for name, column in zip(RECT_FIELDS, geometry[:, 4:].T, strict=True):
        arrays[name] = by_image(pa.array(column.astype(np.float32)))
    return pa.Table.from_arrays([arrays[name] for name in fields.names], schema=fields)


def _list_maker(offsets: pa.Array) -> Callable[[pa.Array], pa.ListArray]:
    return lambda values: pa.ListArray.from_arrays(offsets, values)


def _joined(pieces: list[bytes], dtype: type) -> pa.ListArray:
    """Make a list of numbers of each piece."""
    size = np.dtype(dtype).itemsize
    values: np.ndarray = np.frombuffer(b"".join(pieces), dtype=dtype)
    return pa.ListArray.from_arrays(_offsets([len(piece) // size for piece in pieces]), pa.array(values))


def _offsets(lengths: Sequence[int]) -> pa.Array:
    return pa.array(np.fromiter(chain([0], lengths), dtype=np.int32, count=len(lengths) + 1).cumsum(dtype=np.int32))
