"""
This module has what an evaluation keeps: detections, ground truth and scores of all images, as plain arrays.

Shapes: N images, D detections and G garments of all images together, L labels of the schema, K classes, S styles.
The detections of image i are rows ``det_offsets[i]:det_offsets[i + 1]``, its garments ``gt_offsets[i]:...``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...schema import AttributeSchema, Label

__all__ = ["Predictions", "PredictionsInfo", "concatenate_predictions"]

Thresholds = float | Mapping[str, float | Sequence[float]]


@dataclass(frozen=True)
class PredictionsInfo:
    """
    The info says what the columns of predictions mean.

    Attributes:
        dataset: the registered name.
        schema: the groups of the L label columns.
        classes: the class mode ("category", "part", "category_or_part"); None of a dataset that is not ours.
        class_names: K labels, by class id.
        threshold: the least score of a multi-label answer: one number, or one for each group, or one for each label
            of a group; see :func:`threshold_row`.
        iou_threshold: from which on a detection stands for a garment.
        label_counts: int64 (2, L): garments of the training set that have the label, and garments of which it is
            known; None where the training set was not at hand.
        model: facts about the model, as in ``{"config": ..., "weights": ...}``; plain values.
    """

    dataset: str
    schema: AttributeSchema
    classes: str | None = None
    class_names: tuple[Label, ...] = ()
    threshold: Thresholds = 0.5
    iou_threshold: float = 0.5
    label_counts: np.ndarray | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def class_parts(self) -> tuple[int, ...] | None:
        """Return for every class the id of its part; None where the class mode is not known."""
        return None if self.classes is None else self.schema.class_parts(self.classes)


@dataclass
class Predictions:
    """
    These are a model's answers for the images of a split, and the ground truth beside them.

    Attributes:
        info: what the columns mean.
        image_ids: int64 (N,), the dataset's ids.
        image_indices: int64 (N,), positions in the dataset, ascending.
        heights, widths: int32 (N,), pixels of the original image.
        styles, sub_styles: int16 (N,), the image's style and sub-style, -1 unknown.
        style_scores, sub_style_scores: float32 (N, S); None of a model that predicts none.
        det_offsets: int64 (N + 1,).
        det_boxes: float32 (D, 4), XYXY pixels of the original image.
        det_scores: float32 (D,).
        det_classes: int16 (D,).
        det_attributes: float16 (D, L), ``pred_attributes`` of the detections.
        det_masks: D times COCO's compressed RLE, an Arrow array of bytes; None of a model without masks.
        gt_offsets: int64 (N + 1,).
        gt_places: int32 (G,), the garment's position in its image's annotations.
        gt_boxes: float64 (G, 4), XYXY.
        gt_areas: float64 (G,), of the polygon or the box; what COCO's small, medium and large go by.
        gt_classes: int16 (G,), -1 unknown.
        gt_parts: int8 (G,), ids in ``schema.parts``.
        gt_targets: int8 (G, L): 1 yes, 0 no, -1 unknown or not applicable.
        gt_attributes: float16 (G, L), ``pred_attributes`` read from the true boxes; None where they were not asked for.
        gt_masks: as `det_masks`.
    """

    info: PredictionsInfo
    image_ids: np.ndarray
    image_indices: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    styles: np.ndarray
    sub_styles: np.ndarray
    det_offsets: np.ndarray
    det_boxes: np.ndarray
    det_scores: np.ndarray
    det_classes: np.ndarray
    det_attributes: np.ndarray
    gt_offsets: np.ndarray
    gt_places: np.ndarray
    gt_boxes: np.ndarray
    gt_areas: np.ndarray
    gt_classes: np.ndarray
    gt_parts: np.ndarray
    gt_targets: np.ndarray
    gt_attributes: np.ndarray | None = None
    style_scores: np.ndarray | None = None
    sub_style_scores: np.ndarray | None = None
    det_masks: Any = None
    gt_masks: Any = None

    @property
    def schema(self) -> AttributeSchema:
        return self.info.schema

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @property
    def num_detections(self) -> int:
        return len(self.det_scores)

    @property
    def num_garments(self) -> int:
        return len(self.gt_classes)

    @cached_property
    def det_images(self) -> np.ndarray:
        """Return the row of each detection's image, int64 (D,)."""
        return np.repeat(np.arange(self.num_images), np.diff(self.det_offsets))

    @cached_property
    def gt_images(self) -> np.ndarray:
        """Return the row of each garment's image, int64 (G,)."""
        return np.repeat(np.arange(self.num_images), np.diff(self.gt_offsets))

    def select(self, images: np.ndarray) -> Predictions:
        """Return the predictions of the images in the given rows, int (M,), in the order given."""
        images = np.asarray(images, dtype=np.int64)
        rows: dict[str, np.ndarray] = {"": images}
        changes: dict[str, Any] = {}
        for prefix in ("det", "gt"):
            rows[prefix], changes[f"{prefix}_offsets"] = _select_rows(getattr(self, f"{prefix}_offsets"), images)
        for name in array_names():
            value, kept = getattr(self, name), rows[row_kind(name)]
            if value is not None and name not in changes:
                changes[name] = value[kept] if isinstance(value, np.ndarray) else value.take(kept)
        return replace(self, **changes)

    def with_info(self, **changes: Any) -> Predictions:
        """Return the same arrays under another :class:`PredictionsInfo`, as with other thresholds."""
        return replace(self, info=replace(self.info, **changes))


# Fields -> the type of their entries and the width of a row ("L": labels, "S": styles, 0: a plain number). Masks, which
# are bytes, and offsets are no such arrays.
_ENTRIES: dict[str, tuple[type[np.generic], int | str]] = {
    "image_ids": (np.int64, 0),
    "image_indices": (np.int64, 0),
    "heights": (np.int32, 0),
    "widths": (np.int32, 0),
    "styles": (np.int16, 0),
    "sub_styles": (np.int16, 0),
    "style_scores": (np.float32, "S"),
    "sub_style_scores": (np.float32, "S"),
    "det_boxes": (np.float32, 4),
    "det_scores": (np.float32, 0),
    "det_classes": (np.int16, 0),
    "det_attributes": (np.float16, "L"),
    "gt_places": (np.int32, 0),
    "gt_boxes": (np.float64, 4),
    "gt_areas": (np.float64, 0),
    "gt_classes": (np.int16, 0),
    "gt_parts": (np.int8, 0),
    "gt_targets": (np.int8, "L"),
    "gt_attributes": (np.float16, "L"),
}


def array_names() -> list[str]:
    """List the fields that hold arrays, all but `info`."""
    return [f.name for f in fields(Predictions) if f.name != "info"]


def is_optional(name: str) -> bool:
    """Say whether a field is None where the model does not predict it, or nobody asked for it."""
    return name in ("style_scores", "sub_style_scores", "gt_attributes") or is_masks(name)


def is_masks(name: str) -> bool:
    """Say whether a field is an Arrow array of bytes; the others are NumPy's."""
    return name in ("det_masks", "gt_masks")


def row_kind(name: str) -> str:
    """Tell what a row of a field is: a detection ("det"), a garment ("gt") or an image ("")."""
    prefix = name.partition("_")[0]
    return prefix if prefix in ("det", "gt") else ""


def row_width(name: str, info: PredictionsInfo) -> int:
    """Return how many entries a row of a field has; 0 where it is a plain number, or bytes."""
    width = 0 if is_masks(name) else _ENTRIES[name][1]
    return width if isinstance(width, int) else {"L": info.schema.num_labels, "S": len(info.schema.styles)}[width]


def empty_array(name: str, info: PredictionsInfo, num_rows: int = 0) -> np.ndarray:
    """Make an array of a field's type with `num_rows` rows of no particular value; not of masks and offsets."""
    width = row_width(name, info)
    return np.empty((num_rows, width) if width else num_rows, dtype=_ENTRIES[name][0])


def _select_rows(offsets: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that belong to the given images, one image after the other, and where each image's begin."""
    counts = np.diff(offsets)[images]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return np.arange(starts[-1]) + np.repeat(offsets[images] - starts[:-1], counts), starts


def concatenate_predictions(parts: Sequence[Predictions]) -> Predictions:
    """
    Put the predictions of several processes, or of several times, together by image; an image that was seen twice
    counts once, and a field that one of them lacks is None.

    Raises:
        ValueError: there are none.
    """
    if not parts:
        raise ValueError("no predictions to put together")
    merged: dict[str, Any] = {}
    for name in array_names():
        values = [getattr(part, name) for part in parts]
        if any(value is None for value in values):
            merged[name] = None
        elif name.endswith("_offsets"):
            counts = np.concatenate([np.diff(value) for value in values])
            merged[name] = np.concatenate([[0], np.cumsum(counts)])
        elif isinstance(values[0], np.ndarray):
            merged[name] = values[0] if len(values) == 1 else np.concatenate(values)
        else:
            import pyarrow as pa

            merged[name] = values[0] if len(values) == 1 else pa.concat_arrays(values)
    whole = Predictions(info=parts[0].info, **merged)
    indices, first = np.unique(whole.image_indices, return_index=True)
    in_order = len(indices) == whole.num_images and (first == np.arange(len(first))).all()
    return whole if in_order else whole.select(first)
