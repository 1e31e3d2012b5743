"""
Many annotations at once, the fast way: what is as it should be goes to columns of numbers, all polygons of a batch
are checked together in NumPy, and whatever is unusual in any way is left to :func:`parse_annotation`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from ..schema import UNKNOWN, AttributeSchema, normalize_text
from .geometry import LIMIT, MIN_IOU
from .store import NOT_APPLICABLE, parsed_schema

__all__ = ["BatchParser"]

_NUMBER = frozenset((int, float))
_RECT = itemgetter("X좌표", "Y좌표", "가로", "세로")
MAX_POINTS = 4096  # of a polygon; a getter of its keys is kept for every number of points
MIN_AREA = 1.0  # square pixels; below it the points may lie on a line, which is for the slow way to tell


class _Unusual(Exception):
    """Not for the fast way."""


class _Ids(dict[str, int]):
    """Spelling -> id, filled as spellings are met; a KeyError for those that something is to be said about."""

    def __init__(self, find: Callable[[str], int | None], usual: Iterable[int]):
        super().__init__()
        self._find, self._usual = find, frozenset(usual)

    def __missing__(self, text: Any) -> int:
        index = self._find(text) if type(text) is str else None
        if index not in self._usual:
            raise KeyError(text)
        self[text] = index
        return index


class BatchParser:
    """Equal to :func:`parse_annotation` for what it takes; tested against it."""

    def __init__(self, schema: AttributeSchema):
        self._schema = schema
        self._single = [group.name for group in schema.groups if group.is_single]
        self._multi = [group.name for group in schema.groups if not group.is_single]
        self._parts = [(part.korean, part_id) for part_id, part in enumerate(schema.parts.labels)]
        self._category_key = schema.keys["category"]
        self._categories = [
            _Ids(schema.categories.find, [i for i, part in enumerate(schema.category_parts) if part == part_id])
            for _, part_id in self._parts
        ]
        self._values = [self._values_of(part.name) for part in schema.parts.labels]
        self._usual_keys = {key: group.korean for group in schema.groups for key in group.korean_keys}
        self._usual_keys[normalize_text(self._category_key)] = self._category_key
        self._absent = [
            {(a, b): self._absent_of(part.name, {"A": a, "B": b}) for a in (False, True) for b in (False, True)}
            for part in schema.parts.labels
        ]
        self._tier_keys = schema.keys["tier_A"], schema.keys["tier_B"]
        self._style_keys = schema.keys["style"], schema.keys["sub_style"]
        self._styles = _Ids(schema.styles.find, range(len(schema.styles)))
        self._getters: dict[int, itemgetter] = {}
        self._arrow = parsed_schema(schema)

    def _values_of(self, part: str) -> dict[str, tuple[bool, int, _Ids, bool]]:
        """JSON key -> (single, place among its kind, spelling -> id, of tier B)."""
        table = {}
        for group in self._schema.groups:
            if part in group.part_labels:
                ids = _Ids(group.find, group.part_labels[part])
                place = (self._single if group.is_single else self._multi).index(group.name)
                table[group.korean] = (group.is_single, place, ids, group.tier == "B")
        return table

    def _absent_of(self, part: str, labelled: dict[str, bool]) -> tuple[list[int], list[list[int]]]:
        """What the single and the multi groups hold where no value is given."""
        single, multi = [], []
        for group in self._schema.groups:
            is_none = group.absent == "none" and labelled[group.tier]
            if part not in group.part_labels:
                value = NOT_APPLICABLE
            else:
                value = UNKNOWN if not is_none or (group.is_single and group.none_index is None) else group.none_index
            if group.is_single:
                single.append(value)
            else:
                multi.append([] if value is None else [value])
        return single, multi

    def parse(self, objs: Sequence[Any]) -> tuple[np.ndarray, pa.Table]:
        """
        Args:
            objs: annotations, of a JSON parser that gives no NaN or infinity (orjson).

        Returns:
            rows: int64 (M,), ascending: which of them it took.
            table: M rows with the columns of :func:`parsed_schema`.
        """
        columns = _Columns(len(self._multi))
        rows = []
        for row, obj in enumerate(objs):
            try:
                image, garments = self._read(obj)
            except (_Unusual, KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError):
                continue
            columns.add(image, garments)
            rows.append(row)
        keep, table = self._table(columns, len(rows))
        return np.array(rows, dtype=np.int64)[keep], table

    def _read(self, obj: Any) -> tuple[tuple, list[tuple]]:
        image, data = obj["이미지 정보"], obj["데이터셋 정보"]
        details = data["데이터셋 상세설명"]
        image_id, height, width = image["이미지 식별자"], image["이미지 높이"], image["이미지 너비"]
        name, created = image["이미지 파일명"], data["파일 생성일자"]
        if not (
            type(image_id) is type(height) is type(width) is int
            and image_id == data["파일 번호"]
            and type(data["파일 번호"]) is int
            and 0 <= image_id < 2**63
            and 0 < height < LIMIT
            and 0 < width < LIMIT
            and type(name) is type(created) is str
        ):
            raise _Unusual
        labels = details["라벨링"]
        style, sub_style = self._read_styles(labels)
        rects, polygons = details["렉트좌표"], details["폴리곤좌표"]
        if len(rects) != len(self._parts) or len(polygons) != len(rects) or len(labels) != len(rects) + 1:
            raise _Unusual  # a part that nobody has heard of
        garments = []
        for part, part_id in self._parts:
            (rect,), (polygon,), (values,) = rects[part], polygons[part], labels[part]
            if rect or polygon or values:
                garments.append((part_id, *self._read_garment(rect, polygon, values, part_id)))
            elif not (type(rect) is type(polygon) is type(values) is dict):
                raise _Unusual
        return (image_id, height, width, style, sub_style, name, created), garments

    def _read_styles(self, labels: dict) -> tuple[int, int]:
        (entry,) = labels[self._style_keys[0]]
        ids = [UNKNOWN, UNKNOWN]
        for key, value in entry.items():
            ids[self._style_keys.index(key)] = self._styles[value]
        return ids[0], ids[1]

    def _read_garment(self, rect: dict, polygon: dict, labels: dict, part_id: int) -> tuple:
        numbers = _RECT(rect)
        num_points = len(polygon) // 2
        getter = self._getters.get(num_points) or self._getter(num_points)
        points = getter(polygon)
        if len(points) != len(polygon) or not _NUMBER.issuperset(map(type, points + numbers)):
            raise _Unusual
        category, single, multi = self._read_labels(labels, part_id)
        return numbers, points, category, single, multi

    def _getter(self, num_points: int) -> itemgetter:
        if not 3 <= num_points <= MAX_POINTS:
            raise _Unusual
        keys = [f"{axis}좌표{i}" for i in range(1, num_points + 1) for axis in "XY"]
        getter = self._getters[num_points] = itemgetter(*keys)
        return getter

    def _read_labels(self, labels: dict, part_id: int) -> tuple[int, list[int], list[list[int]]]:
        if not labels:
            raise _Unusual
        tier_a, tier_b = self._tier_keys
        has_b = type(labels.get(tier_b)) is str
        absent = self._absent[part_id][type(labels.get(tier_a)) is str, has_b]
        single, multi = absent[0].copy(), absent[1].copy()
        category = UNKNOWN
        table = self._values[part_id]
        for key, value in labels.items():
            if key == self._category_key:
                category = self._categories[part_id][value]
                continue
            found_group = table.get(key)
            if found_group is None:
                return self._read_labels(self._with_usual_keys(labels), part_id)
            is_single, place, ids, is_expert = found_group
            if is_expert and not has_b:
                raise _Unusual
            if is_single:
                single[place] = ids[value]
            elif type(value) is list and value:
                found = [ids[item] for item in value]
                multi[place] = found if len(found) == 1 else sorted(set(found))
            else:
                raise _Unusual
        return category, single, multi

    def _with_usual_keys(self, labels: dict) -> dict:
        usual = {self._usual_keys[normalize_text(key)]: value for key, value in labels.items()}
        if len(usual) < len(labels) or usual.keys() == labels.keys():
            raise _Unusual
        return usual

    def _table(self, columns: _Columns, num_rows: int) -> tuple[np.ndarray, pa.Table]:
        counts = np.frombuffer(columns.counts, dtype=np.int32) if num_rows else np.empty(0, np.int32)
        num_garments = int(counts.sum())
        boxes, sound = columns.resolve(np.repeat(np.arange(num_rows), counts))
        offsets = _offsets(counts)

        def by_image(values: pa.Array) -> pa.ListArray:
            return pa.ListArray.from_arrays(offsets, values)

        def by_garment(lengths: array, values: pa.Array) -> pa.ListArray:
            return pa.ListArray.from_arrays(_offsets(np.frombuffer(lengths, dtype=np.int32)), values)

        fields = list(zip(*columns.images, strict=True)) if num_rows else [()] * 7
        names = ("image_id", "height", "width", "style", "sub_style", "original_file_name", "created")
        arrays: dict[str, Any] = {
            name: pa.array(values, self._arrow.field(name).type) for name, values in zip(names, fields, strict=True)
        }
        arrays["part"] = by_image(pa.array(np.frombuffer(columns.parts, dtype=np.int8)))
        arrays["index"] = by_image(pa.array(np.zeros(num_garments, dtype=np.int32)))
        arrays["category"] = by_image(pa.array(np.frombuffer(columns.categories, dtype=np.int8)))
        four = pa.array(np.arange(num_garments + 1, dtype=np.int32) * 4)
        arrays["bbox"] = by_image(pa.ListArray.from_arrays(four, pa.array(boxes.ravel())))
        points = pa.array(np.frombuffer(columns.points, dtype=np.float64))
        arrays["polygon"] = by_image(by_garment(columns.lengths, points))
        single = np.frombuffer(columns.single, dtype=np.int8).reshape(num_garments, len(self._single))
        for i, name in enumerate(self._single):
            arrays[f"attribute/{name}"] = by_image(pa.array(np.ascontiguousarray(single[:, i])))
        for name, lengths, values in zip(self._multi, columns.multi_lengths, columns.multi, strict=True):
            flat = pa.array(np.frombuffer(values, dtype=np.int8))
            arrays[f"attribute/{name}"] = by_image(by_garment(lengths, flat))
        table = pa.Table.from_arrays([arrays[name] for name in self._arrow.names], schema=self._arrow)
        keep = np.flatnonzero(sound)
        return keep, table if len(keep) == num_rows else table.take(pa.array(keep))


def _offsets(lengths: np.ndarray) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.array(offsets)


class _Columns:
    """The garments of a batch in flat buffers."""

    def __init__(self, num_multi: int):
        self.images: list[tuple] = []
        self.counts, self.lengths = array("i"), array("i")
        self.parts, self.categories, self.single = array("b"), array("b"), array("b")
        self.sizes, self.rects, self.points = array("d"), array("d"), array("d")
        self.multi_lengths = [array("i") for _ in range(num_multi)]
        self.multi = [array("b") for _ in range(num_multi)]

    def add(self, image: tuple, garments: list[tuple]) -> None:
        self.images.append(image)
        self.counts.append(len(garments))
        size = image[2], image[1]
        for part_id, rect, points, category, single, multi in garments:
            self.parts.append(part_id)
            self.categories.append(category)
            self.sizes.extend(size)
            self.rects.extend(rect)
            self.lengths.append(len(points))
            self.points.extend(points)
            self.single.extend(single)
            for lengths, column, ids in zip(self.multi_lengths, self.multi, multi, strict=True):
                lengths.append(len(ids))
                column.extend(ids)

    def resolve(self, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        The box rule of :func:`resolve_geometry` where it finds nothing to note.

        Args:
            owner: (G,) the row of each garment's image.

        Returns:
            boxes: float64 (G, 4), XYWH: the polygons' bounds.
            sound: bool (rows,): False where any garment of the image needs the slow way.
        """
        sound = np.ones(len(self.images), dtype=bool)
        if not len(owner):
            return np.empty((0, 4)), sound
        points = np.frombuffer(self.points, dtype=np.float64).reshape(-1, 2)
        lengths = np.frombuffer(self.lengths, dtype=np.int32) // 2
        ends = np.cumsum(lengths)
        starts = ends - lengths
        size = np.frombuffer(self.sizes, dtype=np.float64).reshape(-1, 2)
        low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
        good = (low >= 0).all(axis=1) & (high <= size).all(axis=1) & points[ends - 1].any(axis=1)
        x, y = points[:, 0], points[:, 1]
        previous = np.arange(-1, len(points) - 1)
        previous[starts] = ends - 1
        with np.errstate(all="ignore"):  # what is no number's worth is refused on the way
            area = np.add.reduceat(x[previous] * y - x * y[previous], starts) / 2
            good &= np.abs(area) >= MIN_AREA
            rect = np.frombuffer(self.rects, dtype=np.float64).reshape(-1, 4)
            good &= (np.abs(rect) < LIMIT).all(axis=1) & (rect[:, 2:] > 0).all(axis=1)
            rect_low = np.minimum(np.maximum(rect[:, :2], 0), size)
            rect_high = np.minimum(np.maximum(rect[:, :2] + rect[:, 2:], 0), size)
            shared = np.minimum(high, rect_high) - np.maximum(low, rect_low)
            good &= (rect_high > rect_low).all(axis=1) & (shared > 0).all(axis=1)
            shared_area = shared[:, 0] * shared[:, 1]
            extent, rect_extent = high - low, rect_high - rect_low
            union = extent[:, 0] * extent[:, 1] + rect_extent[:, 0] * rect_extent[:, 1] - shared_area
            good &= ~(shared_area / union < MIN_IOU)
        sound[owner[~good]] = False
        return np.concatenate([low, high - low], axis=1), sound
