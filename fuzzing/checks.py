"""This module checks what must hold for any input at all; any exception that it raises is a fault of ours."""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from kfashion_d2.data.annotation.labels import find_value, opened
from kfashion_d2.data.annotation.parser import open_annotation, parse_annotation, read_annotation
from kfashion_d2.data.conversion.fast_parser import FastParser
from kfashion_d2.data.sources.zip_index import ZipIndexError, entry_fault, read_zip_index
from kfashion_d2.data.statistics.problem_counts import count_problems
from kfashion_d2.data.store.dataset import KFashionDataset
from kfashion_d2.data.store.schema import RECT_FIELDS, parsed_schema, records_to_table
from kfashion_d2.data.store.zip_reader import PREFIX, ZipEntryError, read_at, read_zip_uri
from kfashion_d2.schema import AttributeSchema

from .choices import PARTS, TABLES

__all__ = [
    "check_annotation",
    "check_archive",
    "check_conversion",
    "check_fast_parser",
    "check_split",
    "garments_in",
    "row_of",
]

MAX_SIZE = 1 << 20  # bytes of an entry that is read here


def garments_in(obj: Any) -> int:
    """Count the garments by their definition: a part and index with any of rect, polygon or labels non-empty."""
    details = open_annotation(obj, [])
    for key in ("데이터셋 정보", "데이터셋 상세설명"):
        details = opened(find_value(details, key))
    seen = set()
    for key in TABLES:
        for part in PARTS:
            entries = opened(find_value(opened(find_value(details, key)), part))
            entries = entries if isinstance(entries, list) else [entries]
            seen |= {(part, i) for i, entry in enumerate(entries) if entry}
    return len(seen)


def check_annotation(obj: Any, schema: AttributeSchema) -> dict[str, Any] | None:
    """Check that every garment is in the record or dropped, and the record keeps the contract; return the record."""
    record, problems = parse_annotation(obj, schema)
    dropped = [problem for problem in problems if problem.action == "dropped"]
    annos = record["annotations"] if record else []
    assert len(annos) + sum(problem.part != "" for problem in dropped) == garments_in(obj)
    assert (record is None) == any(problem.part == "" for problem in dropped)
    assert {problem.action for problem in problems} <= {"dropped", "repaired", "noted"}
    for anno in annos:
        _check_garment(anno, record, schema)
    return record


def _check_garment(anno: dict[str, Any], image: dict[str, Any], schema: AttributeSchema) -> None:
    x, y, w, h = anno["bbox"]
    assert w > 0 and h > 0 and x >= 0 and y >= 0, anno
    assert x + w <= image["width"] + 1e-6 and y + h <= image["height"] + 1e-6, anno
    (polygon,) = anno["segmentation"]
    assert len(polygon) >= 6 and len(polygon) % 2 == 0 and all(map(math.isfinite, polygon)), anno
    assert -1 <= anno["category_id"] < len(schema.categories)
    schema.encode(anno["attributes"], anno["part"])  # refuses what the contract does not allow


def check_fast_parser(objs: Sequence[Any], parser: FastParser, schema: AttributeSchema) -> list[int]:
    """Check that what the fast parser takes equals what the reference gives, which notes nothing; return those rows."""
    rows, table = parser.parse(objs)
    expected = []
    for row in rows.tolist():
        record, problems, rects = read_annotation(objs[row], schema)
        assert record is not None and problems == [], objs[row]
        expected.append(row_of(record, rects, schema))
    assert table.schema == parsed_schema(schema)
    table.validate(full=True)
    assert table.to_pylist() == expected
    return rows.tolist()


def row_of(record: dict[str, Any], rects: list[tuple[float, float]], schema: AttributeSchema) -> dict[str, Any]:
    """Make the store's row of what :func:`read_annotation` gives, by way of dicts."""
    (row,) = records_to_table([record], schema).to_pylist()
    columns = np.array(rects, dtype=np.float32).reshape(-1, len(RECT_FIELDS)).T.tolist()
    return {**row, **dict(zip(RECT_FIELDS, columns, strict=True))}


def check_archive(data: bytes, path: Path) -> int:
    """
    Check that an archive has an index or a named error, every entry its declared bytes or a named error, and no other
    bytes than Python's own zipfile finds at that location. Return the number of entries read.
    """
    path.write_bytes(data)
    try:
        entries = list(read_zip_index(path))
    except ZipIndexError:
        return 0
    zipfile_contents = _contents_by_zipfile(data)
    count = 0
    fd = os.open(path, os.O_RDONLY)
    try:
        for entry in entries:
            assert not entry.name.endswith("/")
            if entry_fault(entry, MAX_SIZE):
                continue
            try:
                content = read_at(fd, entry.offset, entry.compressed_size, entry.size, entry.method, "fuzz")
            except ZipEntryError:
                continue
            assert len(content) == entry.size
            count += 1
            if zlib.crc32(content) == entry.crc:
                assert content == zipfile_contents.get((entry.offset, entry.crc), content)
    finally:
        os.close(fd)
    return count


def _contents_by_zipfile(data: bytes) -> dict[tuple[int, int], bytes]:
    """Map (location, CRC-32) to the content of every entry that zipfile reads."""
    contents = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if info.file_size <= MAX_SIZE and info.compress_size <= MAX_SIZE:
                    try:
                        contents[info.header_offset, info.CRC] = archive.read(info)
                    except Exception:  # whatever it says of a broken entry
                        continue
    except Exception:
        return contents
    return contents


def check_conversion(summary: dict[str, Any], output: Path, schema: AttributeSchema, sound_id: int) -> None:
    """
    Check that the files agree with the summary, every dict keeps the contract, and the sound annotation came through.

    Args:
        summary: of :func:`convert_dataset`.
        output: its output.
        sound_id: the id of an annotation without a fault.
    """
    lines = [orjson.loads(line) for line in (output / "problems.jsonl").read_bytes().splitlines()]
    listed = Counter(
        (line["split"], line["action"], "garments" if line["part"] else "annotations")
        for line in lines
        if line["action"] == "dropped"
    )
    reasons = Counter((line["reason"], line["action"]) for line in lines)
    expected: Counter = Counter()
    for problem in summary["problems"]:
        expected[problem["reason"], problem["action"]] += problem["count"]
    assert reasons == expected
    splits = {name: KFashionDataset(output / name, "category_or_part", schema=schema) for name in summary["splits"]}
    ids = []
    for name, dataset in splits.items():
        counts = summary["splits"][name]
        for unit, kept in (("annotations", "images_out"), ("garments", "garments_out")):
            assert counts[kept] + counts[f"{unit}_dropped"] == counts[unit]
            assert counts[f"{unit}_dropped"] == listed[name, "dropped", unit]
        assert counts["images_out"] == len(dataset)
        ids += dataset.image_ids.tolist()
        garments = 0
        for image in dataset:
            garments += len(image["annotations"])
            for anno in image["annotations"]:
                assert 0 <= anno["category_id"] < len(schema.categories) + len(schema.parts)
                _check_garment({**anno, "category_id": -1}, image, schema)
            _read_image(image["file_name"])
        assert garments == counts["garments_out"] == int(dataset.num_garments.sum())
        for shard in dataset.shards():
            pa.Table.from_batches([shard.batch]).validate(full=True)
    assert ids.count(sound_id) == 1
    assert sum(problem["count"] for problem in count_problems(output / "problems.jsonl", splits)) == len(lines)


def check_split(dataset: KFashionDataset, counts: dict[str, int]) -> None:
    """
    Check what any split must hold, one that was made elsewhere too.

    Args:
        counts: its `images` and `garments`.
    """
    images = list(dataset)
    annos = [anno for image in images for anno in image["annotations"]]
    assert {"images": len(images), "garments": len(annos)} == counts
    for image in images:
        assert image["image_id"] >= 0 and type(image["file_name"]) is str
    for anno in annos:
        assert len(anno["bbox"]) == 4 and len(anno["segmentation"][0]) >= 6
        dataset.schema.encode(anno["attributes"], anno["part"])
        assert 0 <= anno["category_id"] < len(dataset.schema.categories) + len(dataset.schema.parts)


def _read_image(file_name: str) -> None:
    if file_name.startswith(PREFIX):
        try:
            read_zip_uri(file_name)
        except ZipEntryError:
            return
    else:
        assert not file_name or os.path.isfile(file_name)
