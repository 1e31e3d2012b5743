"""
This module writes YOLO's layout, as Ultralytics reads it: `images/<split>/<id>.jpg`, `labels/<split>/<id>.txt` and
`data.yaml`.

A line of a label file is a garment: its class, then its box's centre, width and height as fractions of the image.
The format has no place for attributes. An image without a garment has an empty label file.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from ..store.dataset import KFashionDataset
from ..store.zip_reader import read_image_bytes
from .common import iter_images, require_classes

__all__ = ["export_yolo"]


def export_yolo(dataset: KFashionDataset, output: str | Path) -> Path:
    """
    Write a split into a YOLO data set.

    Args:
        dataset: opened with classes="category_or_part".
        output: a folder; another split may be exported to the same one. Images are linked where they are files.

    Returns:
        `data.yaml`, which names every split in the folder.

    Raises:
        ValueError: another class mode.
    """
    require_classes(dataset)
    output, split = Path(output).resolve(), dataset.split_dir.resolve().name
    images, labels = output / "images" / split, output / "labels" / split
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for image in iter_images(dataset, "yolo"):
        lines = []
        for anno in image["annotations"]:
            x, y, w, h = anno["bbox"]
            center = (x + w / 2) / image["width"], (y + h / 2) / image["height"]
            numbers = *center, w / image["width"], h / image["height"]
            lines.append(" ".join([str(anno["category_id"]), *(f"{number:.8f}" for number in numbers)]) + "\n")
        stem = str(image["image_id"])
        (labels / f"{stem}.txt").write_text("".join(lines), encoding="ascii")
        target = images / (stem + os.path.splitext(image["file_name"])[1].lower())
        target.unlink(missing_ok=True)
        if os.path.isfile(image["file_name"]):
            target.symlink_to(image["file_name"])
        else:
            target.write_bytes(read_image_bytes(image["file_name"]))
    names = dataset.schema.thing_classes(dataset.classes)
    splits = {path.name: f"images/{path.name}" for path in sorted((output / "images").iterdir())}
    data = {"path": str(output), **splits, "names": {i: name.name for i, name in enumerate(names)}}
    (output / "data.yaml").write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return output / "data.yaml"
