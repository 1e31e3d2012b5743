"""
This module parses annotations that are as they should be, the fast way; whatever is unusual in any way is left to
:func:`parse_annotation`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from ...schema import UNKNOWN, AttributeSchema, normalize_text
from ..annotation.geometry import LIMIT
from ..store.schema import NOT_APPLICABLE
from .rows import GarmentRow, ImageRow, resolve_rows, rows_to_table

__all__ = ["FastParser"]

_NUMBER = frozenset((int, float))
_IMAGE = itemgetter("이미지 식별자", "이미지 높이", "이미지 너비", "이미지 파일명")
_DATA = itemgetter("파일 번호", "파일 생성일자", "데이터셋 상세설명")
_DETAILS = itemgetter("렉트좌표", "폴리곤좌표", "라벨링")
_RECT = itemgetter("X좌표", "Y좌표", "가로", "세로")
_pack_rect = struct.Struct("4d").pack
MAX_POINTS = 4096  # of a polygon; a getter of its keys is kept for every number of points
MOST_LISTS = 10_000  # different lists of a group that are remembered


class _Unusual(Exception):
    """This error says that an annotation is not for the fast way."""


class _Ids(dict[str, int]):
    """
    This dict gives the id of a spelling, and is filled as spellings are met; a KeyError for those that something is to
    be said about.
    """

    def __init__(self, find: Callable[[str], int | None], usual: Iterable[int]):
        super().__init__()
        self._find, self._usual = find, frozenset(usual)

    def __missing__(self, text: Any) -> int:
        index = self._find(text) if type(text) is str else None
        if index not in self._usual:
            raise KeyError(text)
        self[text] = index
        return index


class _IdLists(dict[tuple[str, ...], bytes]):
    """This dict gives the ids of several spellings, ascending, as int8; a KeyError like that of :class:`_Ids`."""

    def __init__(self, ids: _Ids):
        super().__init__()
        self._ids = ids

    def __missing__(self, texts: tuple[Any, ...]) -> bytes:
        if not texts:
            raise KeyError(texts)
        ids = bytes(sorted({self._ids[text] for text in texts}))
        if len(self) >= MOST_LISTS:
            self.clear()
        self[texts] = ids
        return ids


class FastParser:
    """This parser equals :func:`parse_annotation` for what it takes; the tests compare the two."""

    def __init__(self, schema: AttributeSchema):
        self._schema = schema
        self._part_ids = range(len(schema.parts))
        parts = [part.korean for part in schema.parts.labels]
        self._parts_of = itemgetter(*parts) if len(parts) > 1 else lambda table: (table[parts[0]],)
        self._category_key = schema.keys["category"]
        self._usual_keys = {key: group.korean for group in schema.groups for key in group.korean_keys}
        self._usual_keys[normalize_text(self._category_key)] = self._category_key
        self._tier_keys = schema.keys["tier_A"], schema.keys["tier_B"]
        # By part, and by whether the tiers A and B were labelled.
        tiers = [(a, b) for a in (False, True) for b in (False, True)]
        self._tables = [
            {(a, b): (*self._absent_of(part_id, {"A": a, "B": b}), self._values_of(part_id, b)) for a, b in tiers}
            for part_id in self._part_ids
        ]
        self._style_keys = schema.keys["style"], schema.keys["sub_style"]
        self._styles = _Ids(schema.styles.find, range(len(schema.styles)))
        self._getters: dict[int, tuple[itemgetter, Callable[..., bytes]]] = {}

    def _values_of(self, part_id: int, has_b: bool) -> dict[str, tuple[bool, int, Any]]:
        """
        Make a table of a part's keys: JSON key -> (single, position among its kind as in an :class:`ImageRow`, spelling
        -> id).
        """
        schema, part = self._schema, self._schema.parts.labels[part_id].name
        categories = [i for i, category_part in enumerate(schema.category_parts) if category_part == part_id]
        table: dict[str, tuple[bool, int, Any]] = {
            self._category_key: (True, 1, _Ids(schema.categories.find, categories))
        }
        positions = {True: 2, False: 0}
        for group in schema.groups:
            # An expert's value without a category is something to be said.
            if part in group.part_labels and (has_b or group.tier != "B"):
                ids = _Ids(group.find, group.part_labels[part])
                table[group.korean] = (
                    group.is_single,
                    positions[group.is_single],
                    ids if group.is_single else _IdLists(ids),
                )
            positions[group.is_single] += 1
        return table

    def _absent_of(self, part_id: int, labelled: dict[str, bool]) -> tuple[bytes, list[bytes]]:
        """Return what a garment's ids are where no value is given."""
        single: list[int | None] = [part_id, UNKNOWN]
        multi: list[bytes] = []
        for group in self._schema.groups:
            is_none = group.absent == "none" and labelled[group.tier]
            if self._schema.parts.labels[part_id].name not in group.part_labels:
                value: int | None = NOT_APPLICABLE
            else:
                value = UNKNOWN if not is_none or (group.is_single and group.none_index is None) else group.none_index
            if group.is_single:
                single.append(value)
            else:
                multi.append(b"" if value is None else struct.pack("b", value))
        return struct.pack(f"{len(single)}b", *single), multi

    def parse(self, objs: Sequence[Any]) -> tuple[np.ndarray, pa.Table]:
        """
        Parse annotations into the store's columns, as far as they are for the fast way.

        Args:
            objs: annotations, of a JSON parser that gives no NaN or infinity (orjson).

        Returns:
            rows: int64 (M,), ascending: which of them it took.
            table: M rows with the columns of :func:`parsed_schema`.
        """
        parsed = [(i, row) for i, obj in enumerate(objs) if (row := self.read(obj)) is not None]
        geometry, sound = resolve_rows([row for _, row in parsed])
        kept = [pair for pair, is_sound in zip(parsed, sound.tolist(), strict=True) if is_sound]
        garments = np.repeat(sound, [len(row.garments) for _, row in parsed])
        table = rows_to_table([row for _, row in kept], geometry[garments], self._schema)
        return np.array([i for i, _ in kept], dtype=np.int64), table

    def read(self, obj: Any) -> ImageRow | None:
        """
        Read one annotation, to be resolved by :func:`resolve_rows`; or return None where it is not for the fast way.
        """
        try:
            return self._read(obj)
        except (
            _Unusual,
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
            AttributeError,
            IndexError,
            struct.error,
        ):
            return None

    def _read(self, obj: Any) -> ImageRow:
        image_id, height, width, name = _IMAGE(obj["이미지 정보"])
        file_id, created, details = _DATA(obj["데이터셋 정보"])
        if not (
            type(image_id) is type(height) is type(width) is type(file_id) is int
            and image_id == file_id
            and 0 <= image_id < 2**63
            and 0 < height < LIMIT
            and 0 < width < LIMIT
            and type(name) is type(created) is str
        ):
            raise _Unusual
        rects, polygons, labels = _DETAILS(details)
        style, sub_style = self._read_styles(labels)
        if not len(rects) == len(polygons) == len(labels) - 1 == len(self._part_ids):
            raise _Unusual
        entries = map(self._parts_of, (rects, polygons, labels))
        garments = []
        for part_id, (rect,), (polygon,), (values,) in zip(self._part_ids, *entries, strict=True):
            if rect or polygon or values:
                garments.append(self._read_garment(rect, polygon, values, part_id))
            elif not (type(rect) is type(polygon) is type(values) is dict):
                raise _Unusual
        return ImageRow((image_id, height, width, style, sub_style, name, created), garments)

    def _read_styles(self, labels: dict) -> tuple[int, int]:
        (entry,) = labels[self._style_keys[0]]
        ids = [UNKNOWN, UNKNOWN]
        for key, value in entry.items():
            ids[self._style_keys.index(key)] = self._styles[value]
        return ids[0], ids[1]

    def _read_garment(self, rect: dict, polygon: dict, labels: dict, part_id: int) -> GarmentRow:
        numbers = _RECT(rect)
        num_points = len(polygon) // 2
        getter, pack = self._getters.get(num_points) or self._getter(num_points, polygon)
        points = getter(polygon)
        # struct takes no text, but takes true for 1.
        if len(points) != len(polygon) or not _NUMBER.issuperset(map(type, points + numbers)):
            raise _Unusual
        ids, multi = self._read_labels(labels, part_id)
        return GarmentRow(ids, multi, pack(*points), 0, _pack_rect(*numbers))

    def _getter(self, num_points: int, polygon: dict) -> tuple[itemgetter, Callable[..., bytes]]:
        if not 3 <= num_points <= MAX_POINTS:
            raise _Unusual
        # The JSON parser's own strings: most it uses again, and the same object is found without comparing text.
        parsed_keys = {key: key for key in polygon}
        keys = [parsed_keys[f"{axis}좌표{i}"] for i in range(1, num_points + 1) for axis in "XY"]
        pair = self._getters[num_points] = itemgetter(*keys), struct.Struct(f"{len(keys)}d").pack
        return pair

    def _read_labels(self, labels: dict, part_id: int) -> tuple[bytearray, list[bytes]]:
        if not labels:
            raise _Unusual
        tier_a, tier_b = self._tier_keys
        tiers = type(labels.get(tier_a)) is str, type(labels.get(tier_b)) is str
        absent, absent_lists, values = self._tables[part_id][tiers]
        ids, multi = bytearray(absent), absent_lists.copy()
        for key, value in labels.items():
            entry = values.get(key)
            if entry is None:
                return self._read_labels(self._with_usual_keys(labels), part_id)
            is_single, position, known = entry
            if is_single:
                ids[position] = known[value]
            elif type(value) is list:
                multi[position] = known[tuple(value)]
            else:
                raise _Unusual
        return ids, multi

    def _with_usual_keys(self, labels: dict) -> dict:
        usual = {self._usual_keys[normalize_text(key)]: value for key, value in labels.items()}
        if len(usual) < len(labels) or usual.keys() == labels.keys():
            raise _Unusual
        return usual
