"""
This module turns COCO into a split: what :func:`kfashion_d2.data.formats.export_coco` wrote, and COCO files of other
tools that have K-Fashion's categories.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...schema import AttributeSchema, kfashion_schema
from ...utils.files import write_file
from ..store.schema import CROWD, FILE_FIELDS, arrow_schema, records_to_table
from ..store.writer import ROWS, check_split_folder, write_split
from ..store.zip_reader import PREFIX, parse_zip_uri
from .coco_entries import CocoRecords, read_coco_file

__all__ = ["import_coco"]


def import_coco(
    path: str | Path,
    output: str | Path,
    *,
    image_root: str | Path | None = None,
    schema: AttributeSchema | None = None,
) -> dict[str, Any]:
    """
    Write a split from a COCO file, and `problems.jsonl` into it where something was mended, dropped or noted.

    Categories are found by their English and Korean names and by the names of `coco_names.yaml`, labels by their
    English names; see :mod:`kfashion_d2.data.formats.coco`. "other top" is a top of unknown category, and so is a
    part's name that is no category ("outer"). Where an annotation has no `attributes` at all, the groups that apply to
    it are unknown. Crowd regions (`iscrowd`) stay what they are, which nothing trains on. Boxes and polygons are
    clipped, mended or dropped by the converter's rule; annotations of an image or a category that is not listed, and
    images of no size, are dropped.

    Args:
        path: the JSON file; read as a whole.
        output: the split's folder, as in `datasets/mine/train`; refused when it holds anything but a split.
        image_root: the folder that `file_name` is relative to; `info.image_root` if none, or else the file's folder.
        schema: the vocabulary; K-Fashion's if none.

    Returns:
        `images` and `garments` of the split, and `problems`: dicts of reason, action, of ("images" or "garments") and
        count, the most frequent first.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not COCO, or a name is not in the vocabulary; the message says which, where, and what to do.
    """
    path, schema = Path(path), schema or kfashion_schema()
    check_split_folder(output, [path])
    coco = read_coco_file(path, schema)
    stated = coco.info.get("image_root")
    root = image_root or (stated if isinstance(stated, str) and stated else path.parent)
    if not path.resolve().is_relative_to(Path(root).resolve()):  # else the images' folder is the one that we work in
        check_split_folder(output, [root])
    records = CocoRecords(coco, schema, str(root))
    zips: dict[tuple, int] = {}
    like: dict[str, Any] = {"schema": {"name": schema.name, "version": schema.version, "hash": schema.hash}, "zips": []}
    tables = _tables(records, schema, str(root), zips, like["zips"])
    counts = write_split(output, tables, like, root, dropped=records.num_dropped)
    if records.problems:
        lines = (_problem_line(Path(output).resolve().name, path, *problem) for problem in records.problems)
        write_file(Path(output) / "problems.jsonl", "".join(lines).encode("utf-8", "backslashreplace"))
    totals = Counter((p.reason, p.action, entry.split()[0]) for entry, p in records.problems)
    return {
        **counts,
        "problems": [
            {"reason": reason, "action": action, "of": "images" if unit == "image" else "garments", "count": count}
            for (reason, action, unit), count in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


def _problem_line(split: str, path: Path, entry: str, problem: Any) -> str:
    line = {"split": split, "path": f"{path}, {entry}", **problem._asdict()}
    try:
        return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:  # NaN
        return json.dumps({**line, "value": repr(problem.value)}, ensure_ascii=False) + "\n"


def _tables(
    records: CocoRecords, schema: AttributeSchema, root: str, numbers: dict[tuple, int], zips: list
) -> Iterator[pa.Table]:
    columns = arrow_schema(schema, crowd=records.has_crowd)
    rows = iter(records)
    while chunk := list(islice(rows, ROWS)):
        table = records_to_table(chunk, schema)
        files = [_file_columns(record, root, numbers, zips) for record in chunk]
        for name, kind in FILE_FIELDS.items():
            table = table.append_column(pa.field(name, kind), pa.array([row[name] for row in files], kind))
        if CROWD in columns.names:
            crowd = [[anno[CROWD] for anno in record["annotations"]] for record in chunk]
            table = table.append_column(CROWD, pa.array(crowd, pa.list_(pa.int8())))
        yield table.select(columns.names).cast(columns)


def _file_columns(record: dict[str, Any], root: str, numbers: dict[tuple, int], zips: list) -> dict[str, Any]:
    """Return the columns that say where an image is; an archive not seen before joins `zips`."""
    name, number, location = record["file_name"], -1, (0, 0, 0, 0)
    if name.startswith(PREFIX):
        archive, name, entry = parse_zip_uri(name)
        key = (archive, entry.zip_size, entry.zip_mtime_ns)
        number = numbers.setdefault(key, len(zips))
        if number == len(zips):
            path = os.path.relpath(archive, root).replace(os.sep, "/")
            zips.append({"path": path, "size": entry.zip_size, "mtime_ns": entry.zip_mtime_ns})
        location = (entry.offset, entry.compressed_size, entry.size, entry.method)
    columns = (record["label_file"], name, number, *location)
    return dict(zip(FILE_FIELDS, columns, strict=True))
