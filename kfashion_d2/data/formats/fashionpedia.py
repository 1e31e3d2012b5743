"""
This module writes Fashionpedia's own extension of COCO: a list of `attributes`, and `attribute_ids` of every garment.

An id in `attribute_ids` is a column of the label row (0 to L - 1). The format knows only what is there: unknown, none
and not applicable all become an absent id. The `attributes` of our COCO file stay beside it.
Menglin Jia et al., Fashionpedia: Ontology, Segmentation, and an Attribute Localization Dataset, ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..store.dataset import KFashionDataset
from .coco import coco_annotations, coco_images
from .common import named_classes, require_classes, write_object
from .export_folder import check_export_file

__all__ = ["export_fashionpedia"]


def _annotations(dataset: KFashionDataset) -> Iterator[dict[str, Any]]:
    schema = dataset.schema
    ids = {
        (group.name, label.name): schema.slice(group.name).start + i
        for group in schema.groups
        for i, label in enumerate(group.labels)
    }
    for anno in coco_annotations(dataset, first_category=0):
        given = []
        for group, value in anno["attributes"].items():
            given += [ids[group, name] for name in ([value] if isinstance(value, str) else value or [])]
        yield {**anno, "attribute_ids": sorted(given)}


def export_fashionpedia(dataset: KFashionDataset, output: str | Path) -> Path:
    """
    Write a split as one file in Fashionpedia's format.

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
    columns = [(group, label) for group in schema.groups for label in group.labels]
    write_object(
        output,
        {
            "info": {"description": f"K-Fashion, {dataset.split_dir.name}", "image_root": dataset.image_root},
            "categories": [
                {"id": i, "name": name.name, "supercategory": part, "level": 2, "taxonomy_id": f"kfashion{i}"}
                for i, (name, part) in enumerate(named_classes(dataset))
            ],
            "attributes": [
                {"id": i, "name": label.name, "supercategory": group.name, "level": 1, "taxonomy_id": f"kfashion{i}"}
                for i, (group, label) in enumerate(columns)
            ],
            "images": lambda: coco_images(dataset),
            "annotations": lambda: _annotations(dataset),
        },
    )
    return Path(output)
