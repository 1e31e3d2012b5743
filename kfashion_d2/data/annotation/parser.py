"""This module turns one K-Fashion annotation into one record. Pure Python; no JSON value makes it raise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...schema import UNKNOWN, AttributeSchema, normalize_text
from .geometry import TEXT_NUMBERS, as_number, resolve_geometry
from .labels import find_value, is_given, opened, parse_category, parse_labels

__all__ = ["Problem", "parse_annotation", "read_annotation", "stated_size"]

SIZE_PARENT, SIZE_KEYS = "이미지 정보", ("이미지 높이", "이미지 너비")
WRAPPED = "JSON inside JSON"
_ID = re.compile("[0-9]{1,19}")
XYWH_ABS = 1  # detectron2.structures.BoxMode.XYWH_ABS, without importing it


class Problem(NamedTuple):
    """
    A problem is something in an annotation that is not as it should be.

    Attributes:
        part: English name of the garment's part; empty for what concerns the whole annotation.
        key: the JSON key.
        reason: what is wrong; the same words for the same fault, so that reasons can be counted.
        action: "dropped" (the garment, or with an empty part the annotation), "repaired" or "noted".
        value: what stood there.
    """

    part: str
    key: str
    reason: str
    action: str
    value: Any = None


def parse_annotation(obj: Any, schema: AttributeSchema) -> tuple[dict[str, Any] | None, list[Problem]]:
    """
    Turn an annotation into a dataset dict without its image, and list everything that is wrong with it.

    Args:
        obj: an annotation as a JSON parser gives it: any JSON value, however broken, NaN and infinities included.
        schema: the vocabulary.

    Returns:
        record: a dict with the dataset dict's keys: `image_id` (int, or None where the file does not say), `height`,
            `width`, `style`, `sub_style`, `part_combination`, `original_file_name`, `created`, and `annotations`, of
            `part`, `index` (in the part's list), `category_id` (in the schema's categories, -1 unknown), `bbox`
            (XYWH_ABS), `bbox_mode`, `iscrowd`, `segmentation`, `mask_valid`, `attributes`. None where the annotation
            had to be dropped.
        problems: every garment of the file is in the record or here, with action "dropped".
    """
    record, problems, _ = read_annotation(obj, schema)
    return record, problems


def read_annotation(
    obj: Any, schema: AttributeSchema
) -> tuple[dict[str, Any] | None, list[Problem], list[tuple[float, float]]]:
    """
    Do what :func:`parse_annotation` does, and return for each of the record's annotations its `rect_iou` and
    `rect_outside` too.
    """
    problems: list[Problem] = []
    obj = open_annotation(obj, problems)
    image, data = (_find_opened(obj, key, problems) for key in (SIZE_PARENT, "데이터셋 정보"))
    details = _find_opened(data, "데이터셋 상세설명", problems)
    garments = list(_garments(details, schema, problems))
    height, width = (_size(image, key, problems) for key in SIZE_KEYS)
    if not isinstance(details, dict) or height is None or width is None:
        key, reason = "데이터셋 정보", "no details"
        value: Any = None
        if isinstance(obj, list) and obj:
            key, reason, value = "", "several annotations in one file", len(obj)
        elif isinstance(details, dict):
            stated = {key: find_value(image, key) for key in SIZE_KEYS} if isinstance(image, dict) else None
            key, reason, value = "이미지 정보", "no image size", stated
        problems.append(Problem("", key, reason, "dropped", value))
        problems += [Problem(part, "", "annotation dropped", "dropped") for part, *_ in garments]
        return None, problems, []

    annotations, rects = [], []
    for part, index, rect, polygon, labels in garments:
        notes: list[tuple] = []
        geometry = resolve_geometry(rect, polygon, width, height)
        category = parse_category(labels, part, schema, notes)
        attributes = parse_labels(labels, part, schema, notes)
        problems += [Problem(part, *note) for note in geometry.notes]
        if geometry.bbox is None:
            problems.append(Problem(part, "", "no geometry", "dropped"))
            continue
        if not labels:
            notes.append(("라벨링", "no labels", "noted", None))
        problems += [Problem(part, *note) for note in notes]
        x, y, w, h = geometry.bbox
        rects.append((geometry.rect_iou, geometry.rect_outside))
        annotations.append(
            {
                "part": part,
                "index": index,
                "category_id": category,
                "bbox": geometry.bbox,
                "bbox_mode": XYWH_ABS,
                "iscrowd": 0,
                "segmentation": [geometry.polygon or [x, y, x + w, y, x + w, y + h, x, y + h]],
                "mask_valid": geometry.polygon is not None,
                "attributes": attributes,
            }
        )
    style, sub_style = _styles(find_value(details, "라벨링"), schema, problems)
    record = {
        "image_id": _image_id(image, data, problems),
        "height": height,
        "width": width,
        "style": style,
        "sub_style": sub_style,
        "part_combination": "+".join(dict.fromkeys(anno["part"] for anno in annotations)),
        "original_file_name": _text(image, "이미지 파일명", problems),
        "created": _text(data, "파일 생성일자", problems),
        "annotations": annotations,
    }
    return record, problems, rects


def open_annotation(obj: Any, problems: list[Problem]) -> Any:
    """Return an annotation out of a text or a list of one, in which some tools wrap it."""
    inner = opened(obj)
    if inner is not obj:
        problems.append(Problem("", "", WRAPPED, "repaired"))
    if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], dict):
        problems.append(Problem("", "", "annotation inside a list", "repaired"))
        return inner[0]
    return inner


def _find_opened(entry: Any, key: str, problems: list[Problem]) -> Any:
    """Return the value of a key, out of a text that holds it as JSON."""
    value = find_value(entry, key)
    inner = opened(value)
    if inner is not value:
        problems.append(Problem("", key, WRAPPED, "repaired"))
    return inner


def stated_size(obj: Any) -> tuple[int, int] | None:
    """Return the width and height of the image that an annotation states, None where it does not."""
    image = _find_opened(open_annotation(obj, []), SIZE_PARENT, [])
    height, width = (_size(image, key, []) for key in SIZE_KEYS)
    return None if height is None or width is None else (width, height)


def _garments(details: Any, schema: AttributeSchema, problems: list[Problem]) -> Iterator[tuple]:
    """Yield (part, index, rect, polygon, labels) of everything that has any of the three."""
    tables = []
    parts = {normalize_text(name) for name in (*(part.korean for part in schema.parts.labels), schema.keys["style"])}
    for key in ("렉트좌표", "폴리곤좌표", "라벨링"):
        table = _find_opened(details, key, problems)
        if not isinstance(table, dict):
            if isinstance(details, dict):
                problems.append(Problem("", key, "missing key" if table is None else "wrong type", "repaired", table))
            table = {}
        tables.append((key, table))
        unheard = [name for name, value in table.items() if value and normalize_text(name) not in parts]
        problems += [Problem("", key, "unknown part", "noted", name) for name in unheard]
    for part in schema.parts.labels:
        columns = [_entries(table, key, part, problems) for key, table in tables]
        for index in range(max(map(len, columns))):
            rect, polygon, labels = (column[index] if index < len(column) else {} for column in columns)
            if rect or polygon or labels:
                yield part.name, index, rect, polygon, labels


class _Garbled(dict):
    """This object takes the place of an entry that is no dict: nothing can be read from it, but there was something."""

    def __bool__(self) -> bool:
        return True


def _entries(table: dict, key: str, part: Any, problems: list[Problem]) -> list[dict]:
    """Return a part's list of dicts."""
    value = opened(written := find_value(table, part.korean))
    if value is not written:
        problems.append(Problem(part.name, key, WRAPPED, "repaired"))
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    problems.append(Problem(part.name, key, "wrong type", "repaired", value))
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, dict) else _Garbled() if item else {} for item in items]


def _size(image: Any, key: str, problems: list[Problem]) -> int | None:
    value = find_value(image, key)
    number = as_number(value)
    if number is None or number < 1 or number != int(number):
        return None
    if isinstance(value, float):
        problems.append(Problem("", key, "wrong type", "repaired", value))
    elif isinstance(value, str):
        problems.append(Problem("", key, TEXT_NUMBERS, "noted", value))
    return int(number)


def _image_id(image: Any, data: Any, problems: list[Problem]) -> int | None:
    ids = []
    for entry, key in ((image, "이미지 식별자"), (data, "파일 번호")):
        value = find_value(entry, key)
        if isinstance(value, str) and _ID.fullmatch(value.strip()):
            problems.append(Problem("", key, TEXT_NUMBERS, "noted", value))
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
            ids.append(value)
        elif value is not None:
            problems.append(Problem("", key, "wrong type", "repaired", value))
    if len(set(ids)) > 1:
        problems.append(Problem("", "파일 번호", "two different ids", "noted", ids[1]))
    return ids[0] if ids else None


def _styles(labels: Any, schema: AttributeSchema, problems: list[Problem]) -> tuple[int, int]:
    entry = find_value(labels, schema.keys["style"])
    if isinstance(entry, list):
        entry = next((item for item in entry if item), {})
    ids = []
    for key in (schema.keys["style"], schema.keys["sub_style"]):
        value = find_value(entry, key) if isinstance(entry, dict) else (entry if key == schema.keys["style"] else None)
        style = schema.styles.find(value) if isinstance(value, str) else None
        if style is None and is_given(value):
            problems.append(
                Problem("", key, "unknown value" if isinstance(value, str) else "wrong type", "repaired", value)
            )
        ids.append(UNKNOWN if style is None else style)
    return ids[0], ids[1]


def _text(entry: Any, key: str, problems: list[Problem]) -> str:
    value = find_value(entry, key)
    if not isinstance(value, str):
        return ""
    text = value.encode("utf-8", "replace").decode("utf-8")
    if text != value:  # half of a surrogate pair, which no file can hold
        problems.append(Problem("", key, "text is not Unicode", "repaired", text))
    return text
