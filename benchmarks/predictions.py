"""Draw predictions with the faults of real ones, for tests, for benchmarks and to see a report without a model."""

from __future__ import annotations

import numpy as np

from kfashion_d2.evaluation.predictions.core import Predictions, PredictionsInfo
from kfashion_d2.schema import AttributeSchema, kfashion_schema

__all__ = ["make_predictions"]

_SIDE = 640


def make_predictions(
    num_images: int = 100,
    *,
    detections_per_image: int = 20,
    classes: str = "category",
    schema: AttributeSchema | None = None,
    gt_boxes: bool = True,
    styles: bool = False,
    seed: int = 0,
) -> Predictions:
    """
    Draw one to three garments an image, some of unknown class; detections that miss, double, mistake and invent
    garments; labels of a long tail, some unknown; scores that know the truth three times in four.

    Args:
        num_images: N.
        detections_per_image: of each image.
        classes: the class mode.
        schema: None: K-Fashion's, with the groups of the class mode.
        gt_boxes: with scores on ground-truth boxes.
        styles: with style scores.
        seed: equal seeds give equal predictions.
    """
    rng = np.random.default_rng(seed)
    schema = (schema or kfashion_schema()).for_classes(classes)
    class_parts = np.array(schema.class_parts(classes))
    num_gt = rng.integers(1, 4, num_images)
    gt_offsets = np.concatenate([[0], np.cumsum(num_gt)])
    total = int(gt_offsets[-1])
    corner, size = rng.random((total, 2)) * _SIDE / 2, rng.random((total, 2)) * _SIDE / 3 + 40
    gt_boxes_array = np.concatenate([corner, np.minimum(corner + size, _SIDE)], axis=1)
    true_classes = rng.integers(len(class_parts), size=total)
    parts = class_parts[true_classes]
    targets = _targets(rng, schema, parts)

    det_offsets = np.arange(num_images + 1) * detections_per_image
    images = np.repeat(np.arange(num_images), detections_per_image)
    near = gt_offsets[images] + rng.integers(0, 1 << 30, len(images)) % np.maximum(num_gt[images], 1)
    quality = rng.random(len(images))
    missed, confused = rng.random(total) < 0.07, rng.random(total) < 0.07  # no detection finds it; all mistake it
    shift = rng.normal(size=(len(images), 4)) * (5 + 120 * (1 - quality[:, None]) ** 2) + 200 * missed[near, None]
    boxes = np.sort((gt_boxes_array[near] + shift).clip(0, _SIDE).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    mistaken = (rng.random(len(images)) < 0.2) | confused[near]
    wrong = (true_classes[near] + rng.integers(1, len(class_parts), len(images))) % len(class_parts)
    det_classes = np.where(mistaken, wrong, true_classes[near])
    scores = (0.9 * quality**2 + 0.1 * rng.random(len(images))) * np.where(mistaken, 0.6, 1)

    known = rng.random(total) > (0 if classes == "part" else 0.05)
    styles_per_image = rng.integers(-1, len(schema.styles), num_images)
    style_scores = rng.dirichlet(np.full(len(schema.styles), 0.1), num_images).astype(np.float32) if styles else None
    counts = np.stack([(targets == 1).sum(axis=0), (targets >= 0).sum(axis=0)])
    areas = (gt_boxes_array[:, 2] - gt_boxes_array[:, 0]) * (gt_boxes_array[:, 3] - gt_boxes_array[:, 1])
    return Predictions(
        info=PredictionsInfo(
            dataset="synthetic",
            schema=schema,
            classes=classes,
            class_names=schema.thing_classes(classes),
            label_counts=counts.astype(np.int64),
        ),
        image_ids=np.arange(1, num_images + 1),
        image_indices=np.arange(num_images),
        heights=np.full(num_images, _SIDE, dtype=np.int32),
        widths=np.full(num_images, _SIDE, dtype=np.int32),
        styles=styles_per_image.astype(np.int16),
        sub_styles=np.full(num_images, -1, dtype=np.int16),
        det_offsets=det_offsets,
        det_boxes=boxes.astype(np.float32),
        det_scores=scores.astype(np.float32),
        det_classes=det_classes.astype(np.int16),
        det_attributes=_scores(rng, schema, targets, near, class_parts[det_classes]),
        gt_offsets=gt_offsets,
        gt_places=(np.arange(total) - np.repeat(gt_offsets[:-1], num_gt)).astype(np.int32),
        gt_boxes=gt_boxes_array,
        gt_areas=areas,
        gt_classes=np.where(known, true_classes, -1).astype(np.int16),
        gt_parts=parts.astype(np.int8),
        gt_targets=targets,
        gt_attributes=_scores(rng, schema, targets, np.arange(total), parts) if gt_boxes else None,
        style_scores=style_scores,
    )


def _targets(rng: np.random.Generator, schema: AttributeSchema, parts: np.ndarray) -> np.ndarray:
    """Draw targets, int8 (G, L), of garments of int (G,) parts."""
    targets = np.full((len(parts), schema.num_labels), -1, dtype=np.int8)
    for group in schema.groups:
        columns = schema.slice(group.name)
        share = 1 / np.arange(1, group.num_labels + 1) ** 1.5
        share /= share.sum()
        known = schema.applicable[parts, columns.start] & (rng.random(len(parts)) < 0.8)
        if group.is_single:
            labels = rng.choice(group.num_labels, size=len(parts), p=share)
            rows = labels[:, None] == np.arange(group.num_labels)
        else:
            rows = rng.random((len(parts), group.num_labels)) < share
        targets[known, columns] = rows[known]
    return targets


def _scores(
    rng: np.random.Generator, schema: AttributeSchema, targets: np.ndarray, rows: np.ndarray, parts: np.ndarray
) -> np.ndarray:
    """Draw scores, float16 (M, L), of the targets in int (M,) rows, taken for garments of int (M,) parts."""
    scores = np.zeros((len(rows), schema.num_labels), dtype=np.float16)
    for start in range(0, len(rows), 100_000):
        chunk = slice(start, start + 100_000)
        known, part = targets[rows[chunk]], parts[chunk]
        for group in schema.groups:
            columns = schema.slice(group.name)
            signal = 3 * (known[:, columns] == 1) * (rng.random((len(part), 1)) < 0.75)
            logits = signal + rng.normal(size=signal.shape).astype(np.float32)
            if group.is_single:
                values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            else:
                values = 1 / (1 + np.exp(2 - logits))
            scores[chunk, columns] = values * schema.applicable[part, columns.start][:, None]
    return scores
