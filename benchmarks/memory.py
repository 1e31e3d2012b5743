"""Measure how the memory of a process grows while it evaluates masks, image by image."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Boxes, BoxMode, Instances
from tabulate import tabulate

from kfashion_d2.schema import kfashion_schema

from .processes import process_memory, run_alone

__all__ = ["DrawnImages", "add_arguments", "memory_curve", "register_images", "run"]

NAME = "benchmark_memory"
_HEIGHT, _WIDTH = 1000, 800  # pixels
_VERTICES = 24  # of a mask's outline
_MOST_GARMENTS, _MOST_DETECTIONS = 4, 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num", type=int, default=5000, help="images (default: 5000)")
    parser.add_argument("--every", type=int, default=500, help="images between two rows (default: 500)")


def run(args: argparse.Namespace) -> str:
    """Evaluate drawn images in a process of its own, and return the curve of its memory as a table."""
    curve, _ = run_alone(_measure, args.num, args.every)
    headers = [f"images of {_HEIGHT} x {_WIDTH} with 1 to {_MOST_DETECTIONS} masks", "MiB added"]
    return tabulate(curve, headers=headers, floatfmt=",.0f", intfmt=",")


def _measure(num_images: int, every: int) -> list[tuple[str, float]]:
    from kfashion_d2.evaluation import KFashionEvaluator

    images = register_images(num_images)
    return memory_curve(images, [KFashionEvaluator(NAME, masks=True)], every)


class DrawnImages(torch.utils.data.Dataset):
    """These images are drawn anew whenever they are asked for, so that they take no memory of their own."""

    def __init__(self, num_images: int):
        self.num_images, self.schema = num_images, kfashion_schema()
        self.class_parts = self.schema.class_parts("category")

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the dataset dict of an image, with one to four garments."""
        rng = np.random.default_rng([index, 0])
        classes = rng.integers(len(self.class_parts), size=rng.integers(1, _MOST_GARMENTS + 1))
        annotations = [
            {
                "bbox": [*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist()],
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": int(class_id),
                "iscrowd": 0,
                "part": self.schema.parts.labels[self.class_parts[class_id]].name,
                "attributes": {},
                "segmentation": [outline.ravel().tolist()],
            }
            for class_id, outline in zip(classes, _outlines(rng, len(classes)), strict=True)
        ]
        return {"image_id": index + 1, "height": _HEIGHT, "width": _WIDTH, "annotations": annotations}

    def index_of(self, image_id: int) -> int:
        return image_id - 1

    def output(self, index: int) -> dict[str, Instances]:
        """Return what a model might say of an image: one to twenty detections with masks."""
        rng = np.random.default_rng([index, 1])
        outlines = _outlines(rng, int(rng.integers(1, _MOST_DETECTIONS + 1)))
        rles = [mask_util.frPyObjects([outline.ravel().tolist()], _HEIGHT, _WIDTH)[0] for outline in outlines]
        instances = Instances((_HEIGHT, _WIDTH))
        corners = np.concatenate([outlines.min(axis=1), outlines.max(axis=1)], axis=1)
        instances.pred_boxes = Boxes(torch.tensor(corners, dtype=torch.float32))
        instances.scores = torch.tensor(rng.random(len(rles)), dtype=torch.float32)
        instances.pred_classes = torch.tensor(rng.integers(len(self.class_parts), size=len(rles)))
        instances.pred_attributes = torch.tensor(rng.random((len(rles), self.schema.num_labels)), dtype=torch.float32)
        instances.pred_masks = torch.stack([torch.from_numpy(mask_util.decode(rle)).bool() for rle in rles])
        return {"instances": instances}


def _outlines(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw closed outlines inside the image, float64 (count, _VERTICES, 2) pixels."""
    angles = np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False)
    radius = rng.uniform(0.5, 1, (count, _VERTICES, 1)) * rng.uniform(0.1, 0.4, (count, 1, 2))
    center = rng.uniform(0.2, 0.8, (count, 1, 2))
    points = center + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return points.clip(0, 1) * [_WIDTH, _HEIGHT]


def register_images(num_images: int) -> DrawnImages:
    """Register drawn images as a dataset of K-Fashion's categories, under NAME."""
    images = DrawnImages(num_images)
    DatasetCatalog.register(NAME, lambda: images)
    MetadataCatalog.get(NAME).set(
        attribute_schema=images.schema,
        classes="category",
        thing_classes=[label.name for label in images.schema.thing_classes("category")],
    )
    return images


def memory_curve(images: DrawnImages, evaluators: Sequence[DatasetEvaluator], every: int) -> list[tuple[str, float]]:
    """
    Feed images to evaluators one by one.

    Args:
        images: the registered ones.
        evaluators: each gets every image.
        every: images between two looks at the memory.

    Returns:
        (what was done, MiB that the process holds more than before the first image), the evaluation itself last.
    """

    def process(index: int) -> None:
        inputs = [{"image_id": index + 1, "height": _HEIGHT, "width": _WIDTH}]
        outputs = [images.output(index)]
        for evaluator in evaluators:
            evaluator.process(inputs, outputs)

    for evaluator in evaluators:
        evaluator.reset()
    process(0)  # loads what is loaded once
    for evaluator in evaluators:
        evaluator.reset()
    before = process_memory(os.getpid())["Rss"]
    curve = []
    for index in range(len(images)):
        process(index)
        if (index + 1) % every == 0 or index + 1 == len(images):
            curve.append((f"{index + 1:,}", process_memory(os.getpid())["Rss"] - before))
    for evaluator in evaluators:
        evaluator.evaluate()
    return [*curve, ("evaluated", process_memory(os.getpid())["Rss"] - before)]
