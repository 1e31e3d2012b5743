"""
This module turns COCO into a split: what :func:`kfashion_d2.data.formats.export_coco` wrote, and COCO files that follow
its names.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from ...schema import UNKNOWN, AttributeSchema, kfashion_schema
from ..store.schema import FILE_FIELDS, arrow_schema, records_to_table
from ..store.writer import ROWS, check_split_folder, write_split
from ..store.zip_reader import PREFIX, parse_zip_uri

__all__ = ["import_coco"]


def import_coco(
    path: str | Path,
    output: str | Path,
    *,
    image_root: str | Path | None = None,
    schema: AttributeSchema | None = None,
) -> dict[str, int]:
    """
    Categories and labels are found by their English names; see :mod:`kfashion_d2.data.formats.coco`. "other top" is
    a top of unknown category, and so is a part's name that is no category ("outer"). Where an annotation has no
    `attributes` at all, the groups that apply to it are unknown.

    Args:
        path: the JSON file; read as a whole.
        output: the split's folder, as in `datasets/mine/train`.
        image_root: the folder that `file_name` is relative to; `info.image_root` if none, or else the file's folder.
        schema: the vocabulary; K-Fashion's if none.

    Returns:
        `images` and `garments`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not COCO, or a name is not in the vocabulary; the message says which and where.
    """
    path, schema = Path(path), schema or kfashion_schema()
    check_split_folder(output, [path])
    try:
        coco = orjson.loads(path.read_bytes())
        categories = {entry["id"]: _category(entry, schema) for entry in coco["categories"]}
        garments = defaultdict(list)
        for anno in coco["annotations"]:
            garments[anno["image_id"]].append(anno)
        images = coco["images"]
        known = {image["id"] for image in images}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a COCO file: {error!r}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if len(known) != len(images):
        raise ValueError(f"{path}: an image id stands twice among {len(images)} images; ids must be unique")
    if orphans := garments.keys() - known:
        raise ValueError(f"{path}: annotations of image {min(orphans, key=str)}, which is not among the images")
    info = coco.get("info")
    stated = info.get("image_root") if isinstance(info, dict) else None
    root = image_root or (stated if isinstance(stated, str) and stated else path.parent)
    if not path.resolve().is_relative_to(Path(root).resolve()):  # else the images' folder is the one that we work in
        check_split_folder(output, [root])
    records = (_record(image, garments.get(image["id"], []), categories, schema, path) for image in images)
    zips: dict[tuple, int] = {}
    like: dict[str, Any] = {"schema": {"name": schema.name, "version": schema.version, "hash": schema.hash}, "zips": []}
    return write_split(output, _tables(records, schema, str(root), zips, like["zips"]), like, root)


def _tables(
    records: Iterator[dict[str, Any]], schema: AttributeSchema, root: str, numbers: dict[tuple, int], zips: list
) -> Iterator[pa.Table]:
    while chunk := list(islice(records, ROWS)):
        table = records_to_table(chunk, schema)
        files = [_file_columns(record, root, numbers, zips) for record in chunk]
        for name, kind in FILE_FIELDS.items():
            table = table.append_column(pa.field(name, kind), pa.array([row[name] for row in files], kind))
        yield table.select(arrow_schema(schema).names).cast(arrow_schema(schema))


def _file_columns(record: dict[str, Any], root: str, numbers: dict[tuple, int], zips: list) -> dict[str, Any]:
    """Return the columns that say where an image is; an archive not seen before joins `zips`."""
    name, number, location = record["file_name"], -1, (0, 0, 0, 0)
    if name.startswith(PREFIX):
        archive, name, found = parse_zip_uri(name)
        key = (archive, found.zip_size, found.zip_mtime_ns)
        number = numbers.setdefault(key, len(zips))
        if number == len(zips):
            path = os.path.relpath(archive, root).replace(os.sep, "/")
            zips.append({"path": path, "size": found.zip_size, "mtime_ns": found.zip_mtime_ns})
        location = (found.offset, found.compressed_size, found.size, found.method)
    columns = (record["label_file"], name, number, *location)
    return dict(zip(FILE_FIELDS, columns, strict=True))


def _category(entry: dict[str, Any], schema: AttributeSchema) -> tuple[int, str]:
    """Return (category id, part) of a COCO category."""
    name = entry["name"]
    for part in schema.parts.labels:
        # "top" and "dress" are categories as well as parts: then they are the category.
        if name == f"other {part.name}" or (name == part.name and name not in schema.categories.labels):
            return UNKNOWN, part.name
    index = schema.categories.index(name)
    return index, schema.parts.labels[schema.category_parts[index]].name


def _record(
    image: dict[str, Any], annos: list[dict[str, Any]], categories: dict, schema: AttributeSchema, path: Path
) -> dict[str, Any]:
    styles = [image.get(key) for key in ("style", "sub_style")]
    try:
        return {
            "image_id": _integer(image, "id", 2**63),
            "file_name": _text(image, "file_name"),
            "height": _integer(image, "height", 2**31),
            "width": _integer(image, "width", 2**31),
            "style": UNKNOWN if styles[0] in (None, UNKNOWN) else schema.styles.index(styles[0]),
            "sub_style": UNKNOWN if styles[1] in (None, UNKNOWN) else schema.styles.index(styles[1]),
            **{
                key: _text(image, key) if image.get(key) else ""
                for key in ("label_file", "original_file_name", "created")
            },
            "annotations": [_annotation(anno, i, categories, schema) for i, anno in enumerate(annos)],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path}, image {image['id']}: {error if isinstance(error, ValueError) else repr(error)}"
        ) from (error)


def _annotation(anno: dict[str, Any], row: int, categories: dict, schema: AttributeSchema) -> dict[str, Any]:
    category, part = categories[anno["category_id"]]
    part = _text(anno, "part") if "part" in anno else part
    schema.parts.index(part)  # raises for one that there is not
    polygons = anno.get("segmentation")
    # Crowds are run-length masks, and a garment in several pieces has no single ring: the box stands in.
    ring = polygons[0] if isinstance(polygons, list) and len(polygons) == 1 and len(polygons[0]) >= 6 else None
    if len(anno["bbox"]) != 4:
        raise ValueError(f"bbox {anno['bbox']!r} is not of four numbers")
    return {
        "part": part,
        "index": _integer(anno, "index", 2**31) if "index" in anno else row,
        "category_id": category,
        "bbox": _numbers(anno["bbox"]),
        "segmentation": [None if ring is None else _numbers(ring)],
        "mask_valid": ring is not None and bool(anno.get("mask_valid", True)),
        "attributes": _attributes(anno.get("attributes"), part, schema),
    }


def _integer(entry: dict[str, Any], key: str, limit: int) -> int:
    value = entry[key]
    if type(value) is not int or not 0 <= value < limit:
        raise ValueError(f"{key} {value!r} is not a number from 0 to {limit - 1}")
    return value


def _text(entry: dict[str, Any], key: str) -> str:
    if not isinstance(entry[key], str):
        raise ValueError(f"{key} {entry[key]!r} is not text")
    return entry[key]


def _numbers(values: list[Any]) -> list[float]:
    if not all(type(value) in (int, float) for value in values):
        raise ValueError(f"{values!r} are not all numbers")
    return [float(value) for value in values]


def _attributes(words: dict[str, Any] | None, part: str, schema: AttributeSchema) -> dict[str, int | list[int]]:
    if not isinstance(words, (dict, type(None))):
        raise ValueError(f"attributes {words!r} are no object")
    result: dict[str, int | list[int]] = {}
    for group in schema.groups:
        if words is None and part in group.parts:
            result[group.name] = UNKNOWN if group.is_single else [UNKNOWN]
        elif words is not None and group.name in words:
            value = words[group.name]
            if group.is_single:
                result[group.name] = UNKNOWN if value is None else group.index_of.index(value)
            else:
                result[group.name] = [UNKNOWN] if value is None else [group.index_of.index(v) for v in value]
    return result
