"""This module writes a split as the COCO file that COCO evaluators read: category ids and annotation ids from 1."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...schema import UNKNOWN
from ...utils.files import new_file
from ..store.dataset import KFashionDataset

__all__ = ["area", "write_coco_json"]


def _annotations(dataset: KFashionDataset, image: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """
    Yield an image's annotations. A garment of unknown category becomes a crowd region for each category of its part:
    pycocotools lets a crowd excuse the detections of its own category only.
    """
    class_parts = dataset.schema.class_parts(dataset.classes)
    for anno in image["annotations"]:
        part = dataset.schema.parts.index(anno["part"])
        known = anno["category_id"] != UNKNOWN
        classes = [anno["category_id"]] if known else [c for c, p in enumerate(class_parts) if p == part]
        for class_id in classes:
            yield {
                "image_id": image["image_id"],
                "category_id": class_id + 1,
                "bbox": anno["bbox"],
                "area": area(anno),
                "iscrowd": int(not known or anno["iscrowd"]),
                "segmentation": anno["segmentation"],
                "mask_valid": anno["mask_valid"],
            }


def area(anno: dict[str, Any]) -> float:
    """Return the area of the polygon, or of the box where there is no sound one; square pixels."""
    if not anno["mask_valid"]:
        return anno["bbox"][2] * anno["bbox"][3]
    xs, ys = anno["segmentation"][0][0::2], anno["segmentation"][0][1::2]
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2


def write_coco_json(dataset: KFashionDataset, path: str | Path) -> None:
    """
    Write the file in one step: another process sees all of it or nothing.

    Args:
        dataset: its class mode decides the categories.
        path: of the file.
    """
    path = Path(path)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in tqdm(range(len(dataset)), unit=" images", desc=f"write {path.name}", disable=len(dataset) < 10_000):
        image = dataset[i]
        images.append({"id": image["image_id"], **{key: image[key] for key in ("file_name", "height", "width")}})
        annotations += _annotations(dataset, image)
    names = dataset.schema.thing_classes(dataset.classes)
    coco = {
        "info": {"description": f"K-Fashion, {dataset.split_dir.name}, classes: {dataset.classes}"},
        "images": images,
        "annotations": [{"id": i, **anno} for i, anno in enumerate(annotations, start=1)],
        "categories": [{"id": i, "name": name.name, "korean": name.korean} for i, name in enumerate(names, start=1)],
    }
    with new_file(path) as file, io.TextIOWrapper(file, encoding="utf-8") as text:
        json.dump(coco, text, ensure_ascii=False)
