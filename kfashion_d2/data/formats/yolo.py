"""
This module writes YOLO's layout, as Ultralytics reads it: `images/<split>/<id>.jpg`, `labels/<split>/<id>.txt` and
`data.yaml`.

A line of a label file is a garment: its class, then its box's centre, width and height as fractions of the image.
The format has no place for attributes. An image without a garment has an empty label file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ..store.dataset import KFashionDataset
from ..store.zip_reader import read_image_bytes
from .common import iter_images, require_classes, trained_annotations
from .export_folder import new_export

__all__ = ["export_yolo"]


def export_yolo(dataset: KFashionDataset, output: str | Path) -> Path:
    """
    Write a split into a YOLO data set.

    Args:
        dataset: opened with classes="category_or_part".
        output: a folder; another split of the store may be exported to the same one. Images are linked where they are
            files.

    Returns:
        `data.yaml`, which names every split in the folder.

    Raises:
        ValueError: another class mode, or the folder is refused; see :func:`.export_folder.new_export`.
    """
    require_classes(dataset)
    split = dataset.split_dir.resolve().name
    with new_export(output, "yolo", dataset, join=True) as folder:
        images, labels = (folder.partial / kind / split for kind in ("images", "labels"))
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for image in iter_images(dataset, "yolo"):
            stem = str(image["image_id"])
            (labels / f"{stem}.txt").write_text(_label_lines(image), encoding="ascii")
            target = images / (stem + os.path.splitext(image["file_name"])[1].lower())
            if os.path.isfile(image["file_name"]):
                target.symlink_to(image["file_name"])
            else:
                target.write_bytes(read_image_bytes(image["file_name"]))
        names = dataset.schema.thing_classes(dataset.classes)
        splits = {name: f"images/{name}" for name in folder.splits}
        data = {"path": str(folder.final), **splits, "names": {i: name.name for i, name in enumerate(names)}}
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        (folder.partial / "data.yaml").write_text(text, encoding="utf-8")
    return folder.final / "data.yaml"


def _label_lines(image: dict[str, Any]) -> str:
    lines = []
    for anno in trained_annotations(image):
        x, y, w, h = anno["bbox"]
        center = (x + w / 2) / image["width"], (y + h / 2) / image["height"]
        numbers = *center, w / image["width"], h / image["height"]
        lines.append(" ".join([str(anno["category_id"]), *(f"{number:.8f}" for number in numbers)]) + "\n")
    return "".join(lines)
