"""Draw ground truth and detections of any number of images, as arrays and as COCO's dicts, to measure on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from kfashion_d2.evaluation.detection.object_arrays import Masks, ObjectArrays, pack_multi_hot

__all__ = ["NUM_CATEGORIES", "coco_header", "draw_masks", "draw_objects", "to_coco"]

NUM_CATEGORIES = 25
_HEIGHT, _WIDTH = 1066, 800  # pixels, of most published K-Fashion images
_VERTICES = 48  # of a mask's outline


def draw_objects(
    num_images: int,
    num_detections: int,
    num_attributes: int = 174,
    *,
    num_categories: int = NUM_CATEGORIES,
    sides: tuple[float, float] = (0.05, 0.7),
    seed: int = 0,
) -> tuple[ObjectArrays, ObjectArrays]:
    """
    Draw one to four garments an image, every twentieth a crowd region. Half of the detections lie about a garment, most
    of them under its category and with most of its attributes; the others are anywhere.

    Args:
        num_detections: of each image.
        num_attributes: how many attributes an object may have.
        sides: the shortest and the longest side of a garment, as shares of the image's.
        seed: equal seeds draw equal objects.

    Returns:
        Ground truth and detections, both with `attributes`.
    """
    rng = np.random.default_rng(seed)
    per_image = rng.integers(1, 5, num_images)
    starts, num_gt = np.cumsum(per_image) - per_image, int(per_image.sum())
    size = np.array([_WIDTH, _HEIGHT]) * np.exp(rng.uniform(*np.log(sides), (num_gt, 1)))
    corner = rng.uniform(0, 1, (num_gt, 2)) * ([_WIDTH, _HEIGHT] - size)
    categories = rng.choice(num_categories, num_gt, p=_shares(num_categories))
    labels = rng.random((num_gt, num_attributes)) < 8 / max(num_attributes, 1)
    gt = ObjectArrays(
        images=np.repeat(np.arange(num_images), per_image),
        categories=categories,
        boxes=np.concatenate([corner, size], axis=1),
        areas=0.8 * size.prod(axis=1),
        crowd=rng.random(num_gt) < 0.05,
        attributes=pack_multi_hot(labels),
    )
    images = np.repeat(np.arange(num_images), num_detections)
    source = starts[images] + rng.integers(0, per_image[images])
    near = rng.random(len(images)) < 0.5
    boxes = gt.boxes[source] + rng.normal(0, 0.06, (len(images), 4)) * np.tile(size[source], 2)
    away = np.concatenate([rng.uniform(0, 400, (len(images), 2)), rng.uniform(20, 200, (len(images), 2))], axis=1)
    boxes = np.maximum(np.where(near[:, None], boxes, away), 1)
    other = rng.choice(num_categories, len(images), p=_shares(num_categories))
    attributes = gt.attributes[source]
    for start in range(0, len(images), 1 << 16):
        block = slice(start, start + (1 << 16))
        count = len(attributes[block])
        wrong = rng.random((count, num_attributes), dtype=np.float32) < 2 / max(num_attributes, 1)
        attributes[block] ^= pack_multi_hot(wrong)
    dt = ObjectArrays(
        images=images,
        categories=np.where(near & (rng.random(len(images)) < 0.8), categories[source], other),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        scores=np.where(near, rng.beta(3, 2, len(images)), rng.beta(1, 4, len(images))),
        attributes=attributes,
    )
    return gt, dt


def draw_masks(num_images: int, *, seed: int = 0) -> tuple[ObjectArrays, ObjectArrays]:
    """
    Draw garments of K-Fashion's size with masks, 2.5 an image on average, and 4 to 10 detections an image. A mask is a
    closed outline in the object's box; objects of one category have much the same outline.

    Returns:
        Ground truth and detections, both with `masks` and the areas of the masks.
    """
    gt, dt = draw_objects(num_images, 10, 0, sides=(0.2, 0.8), seed=seed)
    rng = np.random.default_rng([seed, 1])
    kept = np.arange(10) < rng.integers(4, 11, (num_images, 1))
    dt = dt.take(np.flatnonzero(kept))
    category_waves = rng.normal(0, 0.12, (NUM_CATEGORIES, 2, 6))
    return tuple(_with_masks(objects, category_waves, rng) for objects in (gt, dt))


def _with_masks(objects: ObjectArrays, category_waves: np.ndarray, rng: np.random.Generator) -> ObjectArrays:
    angles = np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False)
    multiples = angles * np.arange(1, 7)[:, None]
    waves = category_waves[objects.categories] + rng.normal(0, 0.02, (len(objects), 2, 6))
    radius = 1 + waves[:, 0] @ np.cos(multiples) + waves[:, 1] @ np.sin(multiples)
    points = radius[:, :, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    points = objects.boxes[:, None, :2] + (points - low) / (high - low) * objects.boxes[:, None, 2:]
    points = points.clip(0, [_WIDTH, _HEIGHT])
    outlines = points.reshape(len(points), -1).tolist()
    masks = Masks.from_rles(mask_util.frPyObjects([outline], _HEIGHT, _WIDTH)[0] for outline in outlines)
    return replace(objects, masks=masks, areas=masks.areas())


def _shares(num_categories: int) -> np.ndarray:
    shares = 1 / np.arange(1, num_categories + 1)
    return shares / shares.sum()


def to_coco(
    gt: ObjectArrays, dt: ObjectArrays, num_categories: int = NUM_CATEGORIES, num_attributes: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """
    Write objects as COCO's dicts: ids of images and annotations from 1, of categories and attributes from 0.

    Returns:
        The file's dict and the results. Results with a mask have no box, so that COCO's areas are those of the masks.
    """

    def dicts(objects: ObjectArrays) -> list[dict[str, Any]]:
        columns = {
            "image_id": (objects.images + 1).tolist(),
            "category_id": objects.categories.tolist(),
            **({"bbox": objects.boxes.tolist()} if objects.masks is None else {"segmentation": objects.masks}),
        }
        if objects.attributes is not None:
            bits = np.unpackbits(objects.attributes, axis=1, count=num_attributes)
            columns["attribute_ids"] = [np.flatnonzero(row).tolist() for row in bits]
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    annotations = [
        {"id": number, **anno, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for number, (anno, box, area, crowd) in enumerate(
            zip(dicts(gt), gt.boxes.tolist(), gt.areas.tolist(), gt.crowd, strict=True), start=1
        )
    ]
    results = [{**result, "score": score} for result, score in zip(dicts(dt), dt.scores.tolist(), strict=True)]
    num_images = 1 + int(max(gt.images.max(), dt.images.max()))
    return {**coco_header(num_images, num_categories, num_attributes), "annotations": annotations}, results


def coco_header(
    num_images: int, num_categories: int = NUM_CATEGORIES, num_attributes: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Return the images, categories and attributes of a COCO file as :func:`to_coco` numbers them."""
    return {
        "images": [{"id": i + 1, "height": _HEIGHT, "width": _WIDTH} for i in range(num_images)],
        "categories": [{"id": i, "name": f"category {i}"} for i in range(num_categories)],
        "attributes": [{"id": i, "name": f"attribute {i}"} for i in range(num_attributes)],
    }
