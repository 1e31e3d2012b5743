"""
This module writes Parquet for data frames: `images.parquet`, a row an image, and `garments.parquet`, a row a garment.

A group is a column of English names (multi-label groups: of lists of names, [] for known to have none). The words
"unknown" and "not applicable" stand where there is no label, so that the states stay apart in a data frame too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...schema import UNKNOWN
from ...utils.files import new_file
from ..store.dataset import KFashionDataset
from .coco import coco_images
from .common import attributes_in_words, iter_images, require_classes, trained_annotations
from .export_folder import new_export

__all__ = ["NOT_APPLICABLE", "UNKNOWN_NAME", "export_parquet"]

UNKNOWN_NAME = "unknown"
NOT_APPLICABLE = "not applicable"
ROWS = 50_000  # a row group


def _garments(dataset: KFashionDataset) -> Iterator[dict[str, Any]]:
    schema = dataset.schema
    for image in iter_images(dataset, "garments"):
        for anno in trained_annotations(image):
            words = attributes_in_words(anno, schema)
            row = {"image_id": image["image_id"], "part": anno["part"], "index": anno["index"]}
            class_id = anno["category_id"]
            known = UNKNOWN < class_id < len(schema.categories)
            row["category"] = schema.categories.labels[class_id].name if known else UNKNOWN_NAME
            row.update(zip(("x", "y", "width", "height"), anno["bbox"], strict=True))
            row["polygon"] = anno["segmentation"][0] if anno["mask_valid"] else []
            for group in schema.groups:
                value = words.get(group.name, NOT_APPLICABLE)
                value = UNKNOWN_NAME if value is None else value
                row[group.name] = [value] if not group.is_single and isinstance(value, str) else value
            yield row


def _write(path: Path, rows: Iterator[dict[str, Any]], columns: pa.Schema) -> None:
    with new_file(path) as file, pq.ParquetWriter(file, columns) as writer:
        while chunk := list(islice(rows, ROWS)):
            writer.write_table(pa.Table.from_pylist(chunk, schema=columns))


def export_parquet(dataset: KFashionDataset, output: str | Path) -> Path:
    """
    Write a split as two Parquet files.

    Args:
        dataset: opened with classes="category_or_part".
        output: a folder.

    Returns:
        The folder.

    Raises:
        ValueError: another class mode, or the folder is refused; see :func:`.export_folder.new_export`.
    """
    require_classes(dataset)
    output, text, number = Path(output), pa.string(), pa.float64()
    groups = {g.name: text if g.is_single else pa.list_(text) for g in dataset.schema.groups}
    box = dict.fromkeys(("x", "y", "width", "height"), number)
    garment = {"image_id": pa.int64(), "part": text, "index": pa.int32(), "category": text}
    texts = ("style", "sub_style", "label_file", "original_file_name", "created")
    columns = {"id": pa.int64(), "file_name": text, "height": pa.int32(), "width": pa.int32()}
    with new_export(output, "parquet", dataset) as folder:
        columns_of_garments = pa.schema({**garment, **box, "polygon": pa.list_(number), **groups})
        _write(folder.partial / "garments.parquet", _garments(dataset), columns_of_garments)
        columns_of_images = pa.schema({**columns, **dict.fromkeys(texts, text)})
        _write(folder.partial / "images.parquet", coco_images(dataset), columns_of_images)
    return output
