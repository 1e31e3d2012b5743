"""
This module computes Fashionpedia's AP at IoU and F1: a detection counts when its box (or mask) and its attributes are
both good enough.

Menglin Jia et al., Fashionpedia: Ontology, Segmentation, and an Attribute Localization Dataset, ECCV 2020.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from .attribute_f1 import check_f1_type
from .iou_f1_arrays import iou_f1_tables
from .object_arrays import ObjectArrays, pack_attributes, to_rle

__all__ = ["FASHIONPEDIA_CATEGORIES_WITH_ATTRIBUTES", "evaluate_iou_f1"]

logger = logging.getLogger(__name__)

FASHIONPEDIA_CATEGORIES_WITH_ATTRIBUTES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 28, 29, 31, 32, 33)


def evaluate_iou_f1(
    gt: Mapping[str, Any],
    dt: Sequence[Mapping[str, Any]],
    *,
    iou_type: str = "bbox",
    f1_type: str = "binary_macro",
    categories_with_attributes: Collection[int] | None = None,
) -> dict[str, dict[str, float]]:
    """
    Compute the numbers of the ``fashionpedia`` package (1.1), under its names: 0 to 1, and -1 where there is nothing to
    find.

    ``AP``, over IoU 0.50:0.95 and F1 0.50:0.95; ``AP_IOU50``, ``AP_F175``, ``AP_IOU50_F150`` at one threshold;
    ``APs``, ``APm``, ``APl`` by area; ``AR@1``, ``AR@10``, ``AR@100``, ``ARs@100``, ``ARm@100``, ``ARl@100``; and
    ``APo``, ``APa``, ``APp``, of Fashionpedia's outerwear, accessories and garment parts.

    A high F1 says little of its own accord: read it beside :func:`~.attribute_f1.chance_levels`.

    Where the package can compute anything, this is what it computes, its habits included:

    - Between several garments a detection prefers one only when neither IoU nor F1 is lower than of the choice so
      far; "iou" goes by this too, so that it is not quite COCO's AP. With attributes, a crowd excuses one detection
      only (elsewhere any number, as COCO's).
    - Categories without attributes count in "f1" and "iou_f1" with their detections alone.
    - A ground truth whose ``id`` is 0 cannot be found: its detection is a false one (COCO's evaluator does so too). A
      warning says so; number annotations from 1.

    Where the package fails or mixes things up:

    - It takes ids of categories for their positions, so ids other than 0, 1, 2, ... mostly end in an IndexError. Here
      `categories_with_attributes` are always ids.
    - It needs Fashionpedia's 46 categories. Here any number will do; ``APo``, ``APa`` and ``APp`` are -1 with fewer.
    - Without detections it fails; here all is 0, or -1 where there is nothing to find.

    Args:
        gt: COCO's dict with ``images``, ``annotations``, ``categories`` and ``attributes``. Annotations have ``id``,
            ``image_id``, ``category_id``, ``bbox`` or ``segmentation``, ``area``, ``iscrowd`` (0 without it), and
            ``attribute_ids``.
        dt: results with ``image_id``, ``category_id``, ``score``, ``bbox`` or ``segmentation``, ``attribute_ids``. A
            result with a ``bbox`` has the box's area, as COCO's, even where masks are compared.
        iou_type: "bbox" or "segm".
        f1_type: "binary_macro" (the default of the package), "binary_micro", "micro" or "macro"; see
            :func:`~.attribute_f1.f1_from_counts`.
        categories_with_attributes: ids of the categories whose F1 counts; by default the 18 of Fashionpedia.

    Returns:
        ``{"iou_f1": ..., "iou": ..., "f1": ...}``: with both demands, with the IoU alone, with the F1 alone (found
        anywhere in the image).

    Raises:
        ValueError: an unknown type; results of an image that is not in `gt`; a missing key; an annotation id that is
            there twice; an attribute id that is not in `gt`, or none given, where the F1 is asked for.
    """
    if iou_type not in ("bbox", "segm"):
        raise ValueError(f"iou_type is {iou_type!r}; choose bbox or segm")
    check_f1_type(f1_type)
    if categories_with_attributes is None:
        categories_with_attributes = FASHIONPEDIA_CATEGORIES_WITH_ATTRIBUTES
    category_ids = sorted({category["id"] for category in gt["categories"]})
    attribute_ids = sorted({attribute["id"] for attribute in gt.get("attributes", ())})
    reader = _Reader(gt["images"], category_ids, attribute_ids, iou_type)
    truth, truth_sound, zero_ids = reader.ground_truth(gt["annotations"])
    detections, detections_sound = reader.detections(dt)
    if zero_ids.any():
        logger.warning(
            "A ground-truth annotation has id 0: COCO's rule is that it cannot be found. Number annotations from 1."
        )
    tables = iou_f1_tables(
        truth,
        detections,
        num_categories=len(category_ids),
        num_attributes=len(attribute_ids),
        f1_type=f1_type,
        with_attributes=np.isin(category_ids, list(categories_with_attributes)),
        unfindable=zero_ids,
        sound=(truth_sound, detections_sound),
    )
    return tables.summary()


class _Reader:
    """This reader turns COCO's dicts into ObjectArrays, with which of the objects have sound attributes."""

    def __init__(self, images: Sequence[Mapping], category_ids: list[int], attribute_ids: list[int], iou_type: str):
        self.images = {image["id"]: image for image in images}
        self.positions = {image_id: position for position, image_id in enumerate(sorted(self.images))}
        self.categories = {category_id: position for position, category_id in enumerate(category_ids)}
        self.attribute_ids = attribute_ids
        self.masks_on = iou_type == "segm"

    def ground_truth(self, annotations: Sequence[Mapping]) -> tuple[ObjectArrays, np.ndarray, np.ndarray]:
        ids = [anno["id"] for anno in annotations]
        if len(set(ids)) != len(ids):
            raise ValueError("two ground-truth annotations have the same id")
        kept = [a for a in annotations if a["image_id"] in self.positions and a["category_id"] in self.categories]
        try:
            areas = [anno["area"] for anno in kept]
        except KeyError:
            name = next(anno["id"] for anno in kept if "area" not in anno)
            raise ValueError(f"ground-truth annotation {name} has no 'area'") from None
        crowd = np.array([bool(anno.get("iscrowd", 0)) for anno in kept], dtype=bool)
        objects, sound = self._arrays(kept, areas, self._masks(kept) if self.masks_on else None, crowd=crowd)
        return objects, sound, np.array([anno["id"] == 0 for anno in kept], dtype=bool)

    def detections(self, results: Sequence[Mapping]) -> tuple[ObjectArrays, np.ndarray]:
        for result in results:
            if result["image_id"] not in self.positions:
                raise ValueError(f"a result is of image {result['image_id']!r}, which is not in the ground truth")
        kept = [result for result in results if result["category_id"] in self.categories]
        has_boxes = bool(results) and bool(len(results[0].get("bbox", ())))
        needed = "bbox" if has_boxes else "segmentation"
        for number, result in enumerate(results):
            if needed not in result:
                raise ValueError(f"result {number} has no {needed!r}, but the first one has: give all or none")
        masks = None
        if has_boxes:
            areas = [result["bbox"][2] * result["bbox"][3] for result in kept]
            if self.masks_on:
                masks = self._masks([_with_mask(result) for result in kept])
        else:
            masks = self._masks(kept)
            areas = [float(mask_util.area(mask)) for mask in masks]  # pycocotools 2.0.11 takes 255 at once at most
        scores = np.array([result["score"] for result in kept], dtype=np.float64)
        objects, sound = self._arrays(kept, areas, masks, scores=scores)
        return objects, sound

    def _arrays(
        self, kept: list[Mapping], areas: list[float], masks: list[dict] | None, **more: np.ndarray
    ) -> tuple[ObjectArrays, np.ndarray]:
        boxes = np.zeros((len(kept), 4))
        if not self.masks_on and kept:
            boxes[:] = [a["bbox"] if "bbox" in a else mask_util.toBbox(self._mask(a)) for a in kept]
        attributes, sound = pack_attributes([a.get("attribute_ids", ()) for a in kept], self.attribute_ids)
        sound &= np.array(["attribute_ids" in a for a in kept], dtype=bool)
        objects = ObjectArrays(
            images=np.array([self.positions[a["image_id"]] for a in kept], dtype=np.int64),
            categories=np.array([self.categories[a["category_id"]] for a in kept], dtype=np.int64),
            boxes=boxes,
            areas=np.array(areas, dtype=np.float64),
            masks=masks if self.masks_on else None,
            attributes=attributes,
            **more,
        )
        return objects, sound

    def _masks(self, annotations: Sequence[Mapping]) -> list[dict[str, Any]]:
        return [self._mask(anno) for anno in annotations]

    def _mask(self, anno: Mapping) -> dict[str, Any]:
        image = self.images[anno["image_id"]]
        return to_rle(anno["segmentation"], image.get("height", 0), image.get("width", 0))


def _with_mask(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a result that has only a box this box as its mask."""
    if "segmentation" in result:
        return result
    x, y, width, height = result["bbox"]
    x2, y2 = x + width, y + height
    return {**result, "segmentation": [[x, y, x, y2, x2, y2, x2, y]]}
