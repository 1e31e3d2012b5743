"""One image's share of :class:`Predictions`: the ground truth of a dataset dict and the detections of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pycocotools.mask as mask_util
from detectron2.structures import BoxMode

from ..schema import UNKNOWN, AttributeSchema
from .predictions import Predictions, PredictionsInfo, row_kind

__all__ = ["ImagePredictions", "detections_of", "garments_of", "stack_images"]

# Fields of Predictions -> their rows in this image (a number where a row is an image), in the fields' types.
ImagePredictions = dict[str, Any]

_STYLES = {"style": "style_scores", "sub_style": "sub_style_scores"}


def garments_of(
    record: dict[str, Any], index: int, schema: AttributeSchema, *, keep_masks: bool = False
) -> ImagePredictions:
    """
    The ground truth of a dataset dict; crowd regions are left out.

    Args:
        index: the image's place in the dataset.
        keep_masks: with `gt_masks`.
    """
    places = [i for i, anno in enumerate(record["annotations"]) if not anno.get("iscrowd", 0)]
    annotations = [record["annotations"][i] for i in places]
    boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    targets = np.full((len(annotations), schema.num_labels), UNKNOWN, dtype=np.int8)
    for row, anno in zip(targets, annotations, strict=True):
        row[:] = schema.encode(anno["attributes"], anno["part"])
    height, width = int(record.get("height", 0)), int(record.get("width", 0))
    garments: ImagePredictions = {
        "image_ids": int(record["image_id"]),
        "image_indices": index,
        "heights": height,
        "widths": width,
        "styles": int(record.get("style", UNKNOWN)),
        "sub_styles": int(record.get("sub_style", UNKNOWN)),
        "gt_places": np.array(places, dtype=np.int32),
        "gt_boxes": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        "gt_areas": np.array([_area(a) for a in annotations], dtype=np.float64),
        "gt_classes": np.array([a["category_id"] for a in annotations], dtype=np.int16),
        "gt_parts": np.array([schema.parts.index(a["part"]) for a in annotations], dtype=np.int8),
        "gt_targets": targets,
    }
    if keep_masks:
        garments["gt_masks"] = [_polygon_rle(a["segmentation"], height, width) for a in annotations]
    return garments


def _area(anno: dict[str, Any]) -> float:
    """Square pixels of the polygon, or of the box where there is no sound one."""
    polygons = anno.get("segmentation")
    if not isinstance(polygons, list) or not anno.get("mask_valid", True):
        x0, y0, x1, y1 = BoxMode.convert(anno["bbox"], anno["bbox_mode"], BoxMode.XYXY_ABS)
        return float((x1 - x0) * (y1 - y0))
    total = 0.0
    for polygon in polygons:
        xs, ys = polygon[0::2], polygon[1::2]
        total += abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2
    return total


def _polygon_rle(segmentation: Any, height: int, width: int) -> bytes:
    if isinstance(segmentation, dict):
        return segmentation["counts"]
    return mask_util.merge(mask_util.frPyObjects(segmentation, height, width))["counts"]


def detections_of(output: dict[str, Any], attributes: np.ndarray, *, keep_masks: bool = False) -> ImagePredictions:
    """
    What a model found in an image.

    Args:
        output: with "instances" at the original size; "style_scores" and "sub_style_scores" float (S,) where there
            are any.
        attributes: float16 (N, L).
        keep_masks: with `det_masks`, where the instances have masks.
    """
    instances = output["instances"]
    detections: ImagePredictions = {
        "det_boxes": instances.pred_boxes.tensor.float().cpu().numpy(),
        "det_scores": instances.scores.float().cpu().numpy(),
        "det_classes": instances.pred_classes.cpu().numpy().astype(np.int16),
        "det_attributes": attributes,
    }
    for name in _STYLES.values():
        if name in output:
            detections[name] = output[name].detach().float().cpu().numpy()
    if keep_masks and instances.has("pred_masks"):
        masks = instances.pred_masks.cpu().numpy().astype(np.uint8)
        detections["det_masks"] = [mask_util.encode(np.asfortranarray(mask))["counts"] for mask in masks]
    return detections


_TYPES = {"image_ids": np.int64, "image_indices": np.int64, "heights": np.int32, "widths": np.int32}


def stack_images(images: Sequence[ImagePredictions], info: PredictionsInfo) -> Predictions:
    """
    The images of a process as one :class:`Predictions`, without `gt_attributes`.

    Args:
        images: garments and detections of each; the list may be empty.
    """
    num_labels = info.schema.num_labels
    blank = {
        "det_boxes": np.zeros((0, 4), dtype=np.float32),
        "det_scores": np.zeros(0, dtype=np.float32),
        "det_classes": np.zeros(0, dtype=np.int16),
        "det_attributes": np.zeros((0, num_labels), dtype=np.float16),
        "gt_places": np.zeros(0, dtype=np.int32),
        "gt_boxes": np.zeros((0, 4)),
        "gt_areas": np.zeros(0),
        "gt_classes": np.zeros(0, dtype=np.int16),
        "gt_parts": np.zeros(0, dtype=np.int8),
        "gt_targets": np.zeros((0, num_labels), dtype=np.int8),
    }
    arrays: dict[str, Any] = {name: np.concatenate([none, *(i[name] for i in images)]) for name, none in blank.items()}
    for name in ("image_ids", "image_indices", "heights", "widths", "styles", "sub_styles"):
        arrays[name] = np.array([i[name] for i in images], dtype=_TYPES.get(name, np.int16))
    for name in _STYLES.values():
        if not images or all(name in i for i in images):
            none = np.zeros((0, len(info.schema.styles)), dtype=np.float32)
            arrays[name] = np.concatenate([none, *(i[name][None] for i in images)])
    for name in ("det_masks", "gt_masks"):
        if not images or all(name in i for i in images):
            arrays[name] = pa.array([mask for i in images for mask in i.get(name, ())], pa.large_binary())
    for kind, name in (("det", "det_scores"), ("gt", "gt_classes")):
        assert row_kind(name) == kind
        arrays[f"{kind}_offsets"] = np.concatenate([[0], np.cumsum([len(i[name]) for i in images], dtype=np.int64)])
    return Predictions(info=info, **arrays)
