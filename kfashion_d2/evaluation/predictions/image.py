"""
This module has one image's share of :class:`Predictions`: the ground truth of a dataset dict and the detections of a
model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pycocotools.mask as mask_util
import torch
from detectron2.structures import BoxMode, Instances

from ...schema import UNKNOWN, AttributeSchema
from .core import Predictions, PredictionsInfo, array_names, empty_array, is_masks, is_optional, row_kind

__all__ = [
    "ImagePredictions",
    "attribute_scores",
    "detections_from_output",
    "garments_from_record",
    "stack_images",
    "style_scores",
]

# Fields of Predictions -> their rows in this image (a number where a row is an image), in the fields' types.
ImagePredictions = dict[str, Any]

_STYLES = {"style": "style_scores", "sub_style": "sub_style_scores"}


def garments_from_record(
    record: dict[str, Any], index: int, schema: AttributeSchema, *, masks: bool = False
) -> ImagePredictions:
    """
    Read the ground truth of an image from its dataset dict; crowd regions are left out.

    Args:
        record: the dataset dict.
        index: the image's position in the dataset.
        schema: the groups to encode.
        masks: whether to add `gt_masks`.
    """
    positions = [i for i, anno in enumerate(record["annotations"]) if not anno.get("iscrowd", 0)]
    annotations = [record["annotations"][i] for i in positions]
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
        "gt_places": np.array(positions, dtype=np.int32),
        "gt_boxes": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        "gt_areas": np.array([_area(a) for a in annotations], dtype=np.float64),
        "gt_classes": np.array([a["category_id"] for a in annotations], dtype=np.int16),
        "gt_parts": np.array([schema.parts.index(a["part"]) for a in annotations], dtype=np.int8),
        "gt_targets": targets,
    }
    if masks:
        garments["gt_masks"] = [_rle_counts(a["segmentation"], height, width) for a in annotations]
    return garments


def _area(anno: dict[str, Any]) -> float:
    """Compute the square pixels of the polygons or of the mask, or of the box where neither is sound."""
    segmentation = anno.get("segmentation")
    if segmentation is None or not anno.get("mask_valid", True):
        x0, y0, x1, y1 = BoxMode.convert(anno["bbox"], anno["bbox_mode"], BoxMode.XYXY_ABS)
        return float((x1 - x0) * (y1 - y0))
    if isinstance(segmentation, dict):
        return float(mask_util.area(segmentation))
    total = 0.0
    for polygon in segmentation:
        xs, ys = polygon[0::2], polygon[1::2]
        total += abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2
    return total


def _rle_counts(segmentation: Any, height: int, width: int) -> bytes | str:
    """Return the counts of compressed RLE, made of polygons where the annotation has those."""
    if isinstance(segmentation, dict):
        return segmentation["counts"]
    return mask_util.merge(mask_util.frPyObjects(segmentation, height, width))["counts"]


def attribute_scores(instances: Instances, schema: AttributeSchema) -> np.ndarray:
    """
    Copy the ``pred_attributes`` of a model's output into a float32 (N, L) array.

    Raises:
        ValueError: there are none, or they have not the width of the schema.
    """
    if not instances.has("pred_attributes"):
        raise ValueError(
            "the model's output has no pred_attributes: evaluate a model whose MODEL.ROI_HEADS.NAME is one of the "
            "Attribute... heads, without test-time augmentation"
        )
    scores = instances.pred_attributes
    if scores.shape[1] != schema.num_labels:
        raise ValueError(
            f"pred_attributes has {scores.shape[1]} columns, but the groups to evaluate "
            f"({', '.join(schema.group_names)}) have {schema.num_labels} labels: "
            "evaluate with the schema and MODEL.ROI_ATTRIBUTE_HEAD.GROUPS of the model"
        )
    return _copied(scores)


def detections_from_output(instances: Instances, attributes: np.ndarray, *, masks: bool = False) -> ImagePredictions:
    """
    Copy the detections of an image out of a model's output.

    Args:
        instances: N detections at the original size of the image.
        attributes: float (N, L); they are kept as float16.
        masks: whether to add `det_masks`.

    Raises:
        ValueError: masks are asked for, and the instances have none.
    """
    detections: ImagePredictions = {
        "det_boxes": _copied(instances.pred_boxes.tensor),
        "det_scores": _copied(instances.scores),
        "det_classes": instances.pred_classes.cpu().numpy().astype(np.int16),
        "det_attributes": attributes.astype(np.float16),
    }
    if masks:
        if not instances.has("pred_masks"):
            raise ValueError("the model's output has no pred_masks: evaluate with MODEL.MASK_ON False")
        pixels = instances.pred_masks.cpu().numpy().view(np.uint8)
        detections["det_masks"] = [mask_util.encode(np.asfortranarray(mask))["counts"] for mask in pixels]
    return detections


def style_scores(output: dict[str, Any], tasks: Sequence[str], schema: AttributeSchema) -> ImagePredictions:
    """
    Copy the style scores of an image, float32 (S,) for each task, out of a model's output.

    Args:
        output: with "<task>_scores" for each task.
        tasks: "style" and "sub_style", or one of them.
        schema: whose styles they are.

    Raises:
        ValueError: an output has no scores, or of another number of styles.
    """
    num_styles = len(schema.styles)
    scores_by_field: ImagePredictions = {}
    for task in tasks:
        field = _STYLES[task]
        scores = output.get(field)
        if scores is None or scores.shape != (num_styles,):
            shape = "none" if scores is None else f"shape {tuple(scores.shape)}"
            raise ValueError(
                f"expected {field} of shape ({num_styles},) in the model's output, found {shape}: "
                "evaluate a model of MODEL.META_ARCHITECTURE AttributeRCNN, with the MODEL.STYLE_HEAD and "
                "the schema that it was trained with"
            )
        scores_by_field[field] = _copied(scores)
    return scores_by_field


def _copied(values: torch.Tensor) -> np.ndarray:
    """
    Return a float32 array of its own: one that shares memory with the model's output would keep that from being freed.
    """
    return values.detach().to("cpu", torch.float32).numpy().copy()


def stack_images(images: Sequence[ImagePredictions], info: PredictionsInfo) -> Predictions:
    """
    Put images that a process saw into one :class:`Predictions`. Attributes on true boxes stay float32.

    Args:
        images: garments and detections of each; the list may be empty. A field that is optional in
            :class:`Predictions` is None in the result where an image lacks it.
    """
    arrays: dict[str, Any] = {
        f"{kind}_offsets": np.cumsum([0, *(len(image[name]) for image in images)], dtype=np.int64)
        for kind, name in (("det", "det_scores"), ("gt", "gt_classes"))
    }
    for name in array_names():
        if name in arrays or (is_optional(name) and not all(name in image for image in images)):
            continue
        rows_per_image = [image[name] for image in images]
        if is_masks(name):
            arrays[name] = pa.array(chain.from_iterable(rows_per_image), pa.large_binary())
        elif row_kind(name):
            arrays[name] = np.concatenate(rows_per_image) if images else empty_array(name, info)
        else:
            arrays[name] = empty_array(name, info, len(images))
            for row, value in enumerate(rows_per_image):
                arrays[name][row] = value
    return Predictions(info=info, **arrays)
