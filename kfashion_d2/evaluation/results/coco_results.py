"""This module writes ``coco_instances_results.json``, the detections of an evaluation in COCO's results format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
import orjson

from ..predictions.core import Predictions

__all__ = ["write_coco_results"]

_DETECTIONS_PER_CHUNK = 10_000


def write_coco_results(predictions: Predictions, file: BinaryIO, category_ids: Mapping[int, int]) -> None:
    """
    Write every detection as COCO's dict of "image_id", "category_id", "bbox" (XYWH, pixels), "score" and, of
    predictions with masks, "segmentation" (compressed RLE), by ascending image id.

    Args:
        predictions: of any dataset.
        file: open for writing bytes.
        category_ids: class id -> COCO's category id.
    """
    file.write(b"[")
    for number, chunk in enumerate(_result_chunks(predictions, category_ids)):
        file.write(b", " * (number > 0) + orjson.dumps(chunk)[1:-1])
    file.write(b"]")


def _result_chunks(predictions: Predictions, category_ids: Mapping[int, int]) -> Iterator[list[dict[str, Any]]]:
    """Yield some thousands of COCO's dicts at a time, which take far more memory than the arrays."""
    p = predictions
    order = np.argsort(p.image_ids[p.det_images], kind="stable")
    for start in range(0, p.num_detections, _DETECTIONS_PER_CHUNK):
        rows = order[start : start + _DETECTIONS_PER_CHUNK]
        images, corners = p.det_images[rows], p.det_boxes[rows]
        boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
        columns = (p.image_ids[images], p.det_classes[rows], boxes, p.det_scores[rows])
        chunk = [
            {"image_id": image_id, "category_id": category_ids[class_id], "bbox": box, "score": score}
            for image_id, class_id, box, score in zip(*(column.tolist() for column in columns), strict=True)
        ]
        if p.det_masks is not None:
            sizes = np.stack([p.heights[images], p.widths[images]], axis=1).tolist()
            for result, size, counts in zip(chunk, sizes, p.det_masks.take(rows).to_pylist(), strict=True):
                result["segmentation"] = {"size": size, "counts": counts.decode()}
        yield chunk
