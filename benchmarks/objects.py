"""Drawn ground truth and detections of any number of images, as arrays and as COCO's dicts, to measure on."""

from __future__ import annotations

from typing import Any

import numpy as np

from kfashion_d2.evaluation.detection.object_arrays import ObjectArrays, pack_multi_hot

__all__ = ["NUM_CATEGORIES", "draw_objects", "to_coco"]

NUM_CATEGORIES = 25
_HEIGHT, _WIDTH = 800, 600


def draw_objects(
    num_images: int,
    num_detections: int,
    num_attributes: int = 174,
    *,
    num_categories: int = NUM_CATEGORIES,
    seed: int = 0,
) -> tuple[ObjectArrays, ObjectArrays]:
    """
    One to four garments an image, every twentieth a crowd region; half of the detections lie about a garment, most of
    them under its category and with most of its attributes; the others are anywhere.
    """
    rng = np.random.default_rng(seed)
    per_image = rng.integers(1, 5, num_images)
    starts, num_gt = np.cumsum(per_image) - per_image, int(per_image.sum())
    size = np.array([_WIDTH, _HEIGHT]) * np.exp(rng.uniform(np.log(0.05), np.log(0.7), (num_gt, 1)))
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


def _shares(num_categories: int) -> np.ndarray:
    shares = 1 / np.arange(1, num_categories + 1)
    return shares / shares.sum()


def to_coco(
    gt: ObjectArrays, dt: ObjectArrays, num_categories: int = NUM_CATEGORIES, num_attributes: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same as COCO's dicts: ids of images and annotations from 1, of categories and attributes from 0."""
    num_images = 1 + int(max(gt.images.max(), dt.images.max()))

    def dicts(objects: ObjectArrays) -> list[dict[str, Any]]:
        labels = [[]] * len(objects)
        if objects.attributes is not None:
            bits = np.unpackbits(objects.attributes, axis=1, count=num_attributes)
            labels = [np.flatnonzero(row).tolist() for row in bits]
        return [
            {"image_id": image + 1, "category_id": category, "bbox": box, "attribute_ids": attribute_ids}
            for image, category, box, attribute_ids in zip(
                objects.images.tolist(), objects.categories.tolist(), objects.boxes.tolist(), labels, strict=True
            )
        ]

    annotations = [
        {"id": number, **anno, "area": area, "iscrowd": int(crowd)}
        for number, (anno, area, crowd) in enumerate(zip(dicts(gt), gt.areas.tolist(), gt.crowd, strict=True), start=1)
    ]
    results = [{**result, "score": score} for result, score in zip(dicts(dt), dt.scores.tolist(), strict=True)]
    truth = {
        "images": [{"id": i + 1, "height": _HEIGHT, "width": _WIDTH} for i in range(num_images)],
        "annotations": annotations,
        "categories": [{"id": i, "name": f"category {i}"} for i in range(num_categories)],
        "attributes": [{"id": i, "name": f"attribute {i}"} for i in range(num_attributes)],
    }
    return truth, results
