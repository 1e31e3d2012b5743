"""
This module reads and writes ``predictions.parquet``: :class:`Predictions` in a file that explains itself.
docs/evaluation.md has the format.

A row is an image, its detections and garments are lists. The metadata under ``kfashion_predictions`` is JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...schema import Label, schema_from_dict, schema_to_dict
from ...utils.files import new_path
from .core import Predictions, PredictionsInfo, empty_array, is_masks, is_optional, row_kind, row_width

__all__ = ["PREDICTIONS_FORMAT", "read_predictions", "write_predictions"]

PREDICTIONS_FORMAT = 1
_KEY = b"kfashion_predictions"
_ROWS_PER_GROUP = 2048  # images; what is in memory beside the arrays while a file is written or read

# Column in the file, in its order -> field.
_COLUMNS = {
    "image_id": "image_ids",
    "image_index": "image_indices",
    "height": "heights",
    "width": "widths",
    "style": "styles",
    "sub_style": "sub_styles",
    "style_scores": "style_scores",
    "sub_style_scores": "sub_style_scores",
    "det_boxes": "det_boxes",
    "det_scores": "det_scores",
    "det_classes": "det_classes",
    "det_attributes": "det_attributes",
    "det_masks": "det_masks",
    "gt_places": "gt_places",
    "gt_boxes": "gt_boxes",
    "gt_areas": "gt_areas",
    "gt_classes": "gt_classes",
    "gt_parts": "gt_parts",
    "gt_targets": "gt_targets",
    "gt_attributes": "gt_attributes",
    "gt_masks": "gt_masks",
}


def _header(info: PredictionsInfo) -> dict[str, Any]:
    return {
        "format": PREDICTIONS_FORMAT,
        "dataset": info.dataset,
        "classes": info.classes,
        "class_names": [[label.name, label.korean] for label in info.class_names],
        "schema_hash": info.schema.hash,
        "schema": schema_to_dict(info.schema),
        "threshold": info.threshold if isinstance(info.threshold, (int, float)) else dict(info.threshold),
        "iou_threshold": info.iou_threshold,
        "label_counts": None if info.label_counts is None else np.asarray(info.label_counts).tolist(),
        "model": dict(info.model),
    }


def _info(header: dict[str, Any]) -> PredictionsInfo:
    counts = header["label_counts"]
    return PredictionsInfo(
        dataset=header["dataset"],
        schema=schema_from_dict(header["schema"]),
        classes=header["classes"],
        class_names=tuple(Label(*pair) for pair in header["class_names"]),
        threshold=header["threshold"],
        iou_threshold=header["iou_threshold"],
        label_counts=None if counts is None else np.array(counts, dtype=np.int64),
        model=header["model"],
    )


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written as JSON")


def _entry_type(field: str, info: PredictionsInfo) -> pa.DataType:
    return pa.binary() if is_masks(field) else pa.from_numpy_dtype(empty_array(field, info).dtype)


def _column_type(field: str, info: PredictionsInfo) -> pa.DataType:
    width = row_width(field, info)
    row = pa.list_(_entry_type(field, info), width) if width else _entry_type(field, info)
    return pa.list_(row) if row_kind(field) else row


def _column(predictions: Predictions, field: str, images: slice) -> pa.Array:
    """Make a column of some images: of plain rows, or of lists where an image has several rows."""
    value, kind = getattr(predictions, field), row_kind(field)
    offsets = getattr(predictions, f"{kind}_offsets") if kind else None
    rows = images if offsets is None else slice(int(offsets[images.start]), int(offsets[images.stop]))
    entry_type = _entry_type(field, predictions.info)
    if is_masks(field):
        array = value[rows].cast(entry_type)
    else:
        array = pa.array(np.ascontiguousarray(value[rows]).reshape(-1), type=entry_type)
        if value.ndim == 2:
            array = pa.FixedSizeListArray.from_arrays(array, value.shape[1])
    if offsets is None:
        return array
    starts = (offsets[images.start : images.stop + 1] - rows.start).astype(np.int32)
    return pa.ListArray.from_arrays(starts, array)


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """
    Write predictions to a file, which takes its name when it is complete.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    path, info = Path(path), predictions.info
    columns = {name: field for name, field in _COLUMNS.items() if getattr(predictions, field) is not None}
    header = json.dumps(_header(info), ensure_ascii=False, default=_plain_value)
    schema = pa.schema(
        [(name, _column_type(field, info)) for name, field in columns.items()], metadata={_KEY: header.encode()}
    )
    with (
        new_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        for start in range(0, max(predictions.num_images, 1), _ROWS_PER_GROUP):
            images = slice(start, min(start + _ROWS_PER_GROUP, predictions.num_images))
            arrays = [_column(predictions, field, images) for field in columns.values()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def read_predictions(path: str | Path) -> Predictions:
    """
    Read what :func:`write_predictions` wrote. Beside the arrays themselves little memory is used.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no predictions file, or one of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no predictions file {path}; tools/evaluate.py writes one")
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a parquet file: {error}") from error
    with file:
        metadata = file.schema_arrow.metadata or {}
        if _KEY not in metadata:
            raise ValueError(f"{path} is a parquet file, but not one of predictions: tools/evaluate.py writes those")
        header = json.loads(metadata[_KEY])
        if header.get("format") != PREDICTIONS_FORMAT:
            raise ValueError(
                f"{path} has format {header.get('format')}, this version reads {PREDICTIONS_FORMAT}: "
                "evaluate the model again"
            )
        return _read(file, _info(header), path)


def _read(file: pq.ParquetFile, info: PredictionsInfo, path: Path) -> Predictions:
    names = set(file.schema_arrow.names)
    missing = [name for name, field in _COLUMNS.items() if name not in names and not is_optional(field)]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: evaluate the model again")
    offsets = {kind: _offsets(file, name) for kind, name in (("det", "det_scores"), ("gt", "gt_classes"))}
    num_rows = {"": file.metadata.num_rows, **{kind: int(ends[-1]) for kind, ends in offsets.items()}}
    arrays: dict[str, Any] = {}
    masks: dict[str, list[pa.Array]] = {}
    for name, field in _COLUMNS.items():
        if name in names and is_masks(field):
            masks[field] = []
        elif name in names:
            arrays[field] = empty_array(field, info, num_rows[row_kind(field)])
    filled = dict.fromkeys(arrays, 0)
    for i in range(file.num_row_groups):
        table = file.read_row_group(i)
        for name in table.column_names:
            field = _COLUMNS[name]
            values = table.column(name).combine_chunks()
            if row_kind(field):
                values = values.flatten()
            if field in masks:
                masks[field].append(values.cast(pa.large_binary()))
                continue
            target, start = arrays[field], filled[field]
            filled[field] = start + len(values)
            if target.ndim == 2:
                target[start : filled[field]] = values.flatten().to_numpy().reshape(-1, target.shape[1])
            else:
                target[start : filled[field]] = values.to_numpy()
    arrays.update((field, pa.concat_arrays(parts)) for field, parts in masks.items())
    return Predictions(info=info, det_offsets=offsets["det"], gt_offsets=offsets["gt"], **arrays)


def _offsets(file: pq.ParquetFile, name: str) -> np.ndarray:
    """Return where the lists of a column begin, without reading the others; int64 (N + 1,)."""
    counts = [
        np.asarray(column.value_lengths())
        for i in range(file.num_row_groups)
        for column in file.read_row_group(i, columns=[name]).column(name).chunks
    ]
    return np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *counts]), dtype=np.int64)])
