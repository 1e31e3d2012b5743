"""
This module has the columns of the store's files; see dataset.py. It needs no torch: the converter's processes do
without it, and without the half gigabyte that it takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from ...schema import AttributeSchema

__all__ = [
    "CROWD",
    "FILE_FIELDS",
    "FORMAT",
    "IMAGE_FIELDS",
    "NOT_APPLICABLE",
    "RECT_FIELDS",
    "arrow_schema",
    "parsed_schema",
    "records_to_table",
]

FORMAT = 3
CROWD = "iscrowd"  # a column of garments, only in splits that have crowd regions: K-Fashion has none
MOST_LABELS = 127  # ids are int8
NOT_APPLICABLE = -2  # in a group's column; -1 is unknown

IMAGE_FIELDS = {
    "image_id": pa.int64(),
    "height": pa.int32(),
    "width": pa.int32(),
    "style": pa.int8(),
    "sub_style": pa.int8(),
    "original_file_name": pa.string(),
    "created": pa.string(),
}
_GARMENT_FIELDS = {
    "part": pa.list_(pa.int8()),
    "index": pa.list_(pa.int32()),
    "category": pa.list_(pa.int8()),
    "bbox": pa.list_(pa.list_(pa.float64())),
    "polygon": pa.list_(pa.list_(pa.float64())),
}
# What the file's rect was like, which the box no longer shows: its IoU with the polygon's bounds, NaN where there are
# not both; and by how many pixels it leaves the image at most, NaN where there is no rect.
RECT_FIELDS = {"rect_iou": pa.list_(pa.float32()), "rect_outside": pa.list_(pa.float32())}
# Of an image inside an archive `file_name` is the entry's name, and `zip` the archive's number in meta.json.
FILE_FIELDS = {
    "label_file": pa.string(),
    "file_name": pa.string(),
    "zip": pa.int16(),
    "zip_offset": pa.int64(),
    "zip_compressed_size": pa.int64(),
    "zip_entry_size": pa.int64(),
    "zip_method": pa.int8(),
}


def parsed_schema(schema: AttributeSchema) -> pa.Schema:
    """
    List the columns that an annotation alone gives.

    Raises:
        ValueError: a group has more labels than the store can hold.
    """
    sizes = {"category": len(schema.categories), **{group.name: group.num_labels for group in schema.groups}}
    for name, num_labels in sizes.items():
        if num_labels > MOST_LABELS:
            raise ValueError(f"{name!r} has {num_labels} labels; the store holds {MOST_LABELS} of a group")
    groups = {
        f"attribute/{group.name}": pa.list_(pa.int8() if group.is_single else pa.list_(pa.int8()))
        for group in schema.groups
    }
    return pa.schema({**IMAGE_FIELDS, **_GARMENT_FIELDS, **RECT_FIELDS, **groups})


def arrow_schema(schema: AttributeSchema, *, crowd: bool = False) -> pa.Schema:
    """List the columns of a shard, with `crowd` also CROWD; the vocabulary's hash is in the metadata."""
    fields = [*parsed_schema(schema), *(pa.field(name, kind) for name, kind in FILE_FIELDS.items())]
    fields += [pa.field(CROWD, pa.list_(pa.int8()))] if crowd else []
    return pa.schema(fields, metadata={"kfashion_schema": schema.hash, "kfashion_format": str(FORMAT)})


def records_to_table(records: Iterable[Mapping[str, Any]], schema: AttributeSchema) -> pa.Table:
    """
    Turn records into the columns that annotations give.

    Args:
        records: as :func:`parse_annotation` gives them. Of their rects nothing is known.
        schema: the one that they were parsed with.

    Returns:
        Their columns, as :func:`parsed_schema` says.
    """
    part_ids = {part.name: i for i, part in enumerate(schema.parts.labels)}
    columns = parsed_schema(schema)
    rows: dict[str, list] = {name: [] for name in columns.names}
    for record in records:
        annos = record["annotations"]
        for name in IMAGE_FIELDS:
            rows[name].append(record[name])
        rows["part"].append([part_ids[anno["part"]] for anno in annos])
        rows["index"].append([anno["index"] for anno in annos])
        rows["category"].append([anno["category_id"] for anno in annos])
        rows["bbox"].append([anno["bbox"] for anno in annos])
        rows["polygon"].append([anno["segmentation"][0] if anno["mask_valid"] else [] for anno in annos])
        for name in RECT_FIELDS:
            rows[name].append([math.nan] * len(annos))
        for group in schema.groups:
            missing = NOT_APPLICABLE if group.is_single else [NOT_APPLICABLE]
            rows[f"attribute/{group.name}"].append([anno["attributes"].get(group.name, missing) for anno in annos])
    return pa.Table.from_pydict(rows, schema=columns)
