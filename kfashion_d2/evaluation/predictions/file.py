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
from .core import Predictions, PredictionsInfo, row_kind

__all__ = ["PREDICTIONS_FORMAT", "read_predictions", "write_predictions"]

PREDICTIONS_FORMAT = 1
_KEY = b"kfashion_predictions"
_ROWS_PER_GROUP = 2048  # images; what is in memory beside the arrays while a file is written or read

# Column in the file -> the field, its type, and how wide a row of it is ("L": labels, "S": styles; 0: a plain number).
_COLUMNS: dict[str, tuple[str, pa.DataType, int | str]] = {
    "image_id": ("image_ids", pa.int64(), 0),
    "image_index": ("image_indices", pa.int64(), 0),
    "height": ("heights", pa.int32(), 0),
    "width": ("widths", pa.int32(), 0),
    "style": ("styles", pa.int16(), 0),
    "sub_style": ("sub_styles", pa.int16(), 0),
    "style_scores": ("style_scores", pa.float32(), "S"),
    "sub_style_scores": ("sub_style_scores", pa.float32(), "S"),
    "det_boxes": ("det_boxes", pa.float32(), 4),
    "det_scores": ("det_scores", pa.float32(), 0),
    "det_classes": ("det_classes", pa.int16(), 0),
    "det_attributes": ("det_attributes", pa.float16(), "L"),
    "det_masks": ("det_masks", pa.binary(), 0),
    "gt_places": ("gt_places", pa.int32(), 0),
    "gt_boxes": ("gt_boxes", pa.float64(), 4),
    "gt_areas": ("gt_areas", pa.float64(), 0),
    "gt_classes": ("gt_classes", pa.int16(), 0),
    "gt_parts": ("gt_parts", pa.int8(), 0),
    "gt_targets": ("gt_targets", pa.int8(), "L"),
    "gt_attributes": ("gt_attributes", pa.float16(), "L"),
    "gt_masks": ("gt_masks", pa.binary(), 0),
}
_OPTIONAL = {"style_scores", "sub_style_scores", "det_masks", "gt_attributes", "gt_masks"}


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


def _plain_list(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written as JSON")


def _wide(width: int | str, info: PredictionsInfo) -> int:
    if isinstance(width, int):
        return width
    return {"L": info.schema.num_labels, "S": len(info.schema.styles)}[width]


def _arrow_type(kind: pa.DataType, width: int, name: str) -> pa.DataType:
    item = pa.list_(kind, width) if width else kind
    return pa.list_(item) if row_kind(name) else item


def _column(value: Any, kind: pa.DataType, width: int, offsets: np.ndarray | None, images: slice) -> pa.Array:
    rows = images if offsets is None else slice(int(offsets[images.start]), int(offsets[images.stop]))
    if isinstance(value, np.ndarray):
        array = pa.array(np.ascontiguousarray(value[rows]).reshape(-1), type=kind)
        if width:
            array = pa.FixedSizeListArray.from_arrays(array, width)
    else:
        array = value[rows].cast(kind)
    if offsets is None:
        return array
    starts = (offsets[images.start : images.stop + 1] - rows.start).astype(np.int32)
    return pa.ListArray.from_arrays(starts, array)


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """
    Write predictions to a file, which takes its name when it is complete.

    Raises:
        OSError: there is no such folder, or no room.
    """
    path, info = Path(path), predictions.info
    columns = {name: spec for name, spec in _COLUMNS.items() if getattr(predictions, spec[0]) is not None}
    fields = [(name, _arrow_type(kind, _wide(w, info), name)) for name, (_, kind, w) in columns.items()]
    header = json.dumps(_header(info), ensure_ascii=False, default=_plain_list)
    schema = pa.schema(fields, metadata={_KEY: header.encode()})
    with (
        new_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=False) as writer,
    ):
        for start in range(0, max(predictions.num_images, 1), _ROWS_PER_GROUP):
            images = slice(start, min(start + _ROWS_PER_GROUP, predictions.num_images))
            arrays = [
                _column(
                    getattr(predictions, field),
                    kind,
                    _wide(width, info),
                    getattr(predictions, f"{row_kind(name)}_offsets") if row_kind(name) else None,
                    images,
                )
                for name, (field, kind, width) in columns.items()
            ]
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
    missing = [name for name in _COLUMNS if name not in names and name not in _OPTIONAL]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: evaluate the model again")
    offsets = {kind: _offsets(file, name) for kind, name in (("det", "det_scores"), ("gt", "gt_classes"))}
    sizes = {"": file.metadata.num_rows, **{kind: int(ends[-1]) for kind, ends in offsets.items()}}
    arrays: dict[str, Any] = {}
    masks: dict[str, list[pa.Array]] = {}
    for name, (field, kind, wide) in _COLUMNS.items():
        width = _wide(wide, info)
        if name in names and pa.types.is_binary(kind):
            masks[field] = []
        elif name in names:
            size = sizes[row_kind(name)]
            arrays[field] = np.empty((size, width) if width else size, dtype=kind.to_pandas_dtype())
    filled = dict.fromkeys(arrays, 0)
    for i in range(file.num_row_groups):
        table = file.read_row_group(i)
        for name in table.column_names:
            field = _COLUMNS[name][0]
            values = table.column(name).combine_chunks()
            if row_kind(name):
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
