"""
This module writes COCO with an `attributes` field: nothing of the store is lost.

`attributes` maps a group to its label's English name (multi-label groups: to a list of names, [] for known to have
none); null is unknown, and a group that is missing does not apply to the garment. The classes are the categories and
"other top", "other bottom", ... for garments of unknown category. :func:`kfashion_d2.data.import_coco` reads it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...schema import UNKNOWN
from ..store.dataset import KFashionDataset
from .coco_json import area
from .common import attributes_in_words, iter_images, named_classes, relative_name, require_classes, write_object
from .export_folder import check_export_file

__all__ = ["coco_annotations", "coco_images", "export_coco"]


def coco_images(dataset: KFashionDataset) -> Iterator[dict[str, Any]]:
    """Yield COCO's entries of the images; `style` and `sub_style` are names, null where unknown."""
    styles = dataset.schema.styles.labels
    for image in iter_images(dataset, "images"):
        named = {key: None if image[key] == UNKNOWN else styles[image[key]].name for key in ("style", "sub_style")}
        yield {
            "id": image["image_id"],
            "file_name": relative_name(dataset, image["file_name"]),
            "height": image["height"],
            "width": image["width"],
            **named,
            **{key: image[key] for key in ("label_file", "original_file_name", "created")},
        }


def coco_annotations(dataset: KFashionDataset, first_category: int = 1) -> Iterator[dict[str, Any]]:
    """
    Yield COCO's entries of the garments, with ids from 1.

    Args:
        first_category: the category id of class 0.
    """
    number = 0
    for image in iter_images(dataset, "garments"):
        for anno in image["annotations"]:
            number += 1
            yield {
                "id": number,
                "image_id": image["image_id"],
                "category_id": anno["category_id"] + first_category,
                "bbox": anno["bbox"],
                "area": area(anno),
                "iscrowd": anno["iscrowd"],
                "segmentation": anno["segmentation"],
                "mask_valid": anno["mask_valid"],
                "part": anno["part"],
                "index": anno["index"],
                "attributes": attributes_in_words(anno, dataset.schema),
            }


def export_coco(dataset: KFashionDataset, output: str | Path) -> Path:
    """
    Write a split as one COCO file.

    Args:
        dataset: opened with classes="category_or_part".
        output: the JSON file.

    Returns:
        The file.

    Raises:
        ValueError: another class mode, or something else than an earlier export stands at `output`.
    """
    require_classes(dataset)
    check_export_file(output, dataset)
    schema = dataset.schema
    write_object(
        output,
        {
            "info": {
                "description": f"K-Fashion, {dataset.split_dir.name}",
                "schema": {"name": schema.name, "version": schema.version, "hash": schema.hash},
                "image_root": dataset.image_root,
            },
            "categories": [
                {"id": i, "name": name.name, "supercategory": part, "korean": name.korean}
                for i, (name, part) in enumerate(named_classes(dataset), start=1)
            ],
            "images": lambda: coco_images(dataset),
            "annotations": lambda: coco_annotations(dataset),
        },
    )
    return Path(output)
