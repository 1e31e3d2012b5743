"""
This module writes FiftyOne's `FiftyOneImageDetectionDataset` layout, `labels.json` and the manifest `data.json`. Images
stay where they are; those inside archives, which FiftyOne cannot open, are unpacked to `data/`.

    fiftyone.Dataset.from_dir("out", dataset_type=fiftyone.types.FiftyOneImageDetectionDataset,
                              data_path="data.json", include_all_data=True)

A garment's attributes become fields of its detection: English names (multi-label groups: lists of names, [] for known
to have none), None where unknown; a group that does not apply is no field.
https://docs.voxel51.com/user_guide/import_datasets.html#fiftyoneimagedetectiondataset
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from ...utils.files import new_file, write_file
from ..store.dataset import KFashionDataset
from ..store.zip_reader import PREFIX, read_image_bytes
from .common import attributes_in_words, iter_images, require_classes, trained_annotations
from .export_folder import ExportFolder, new_export

__all__ = ["export_fiftyone"]


def export_fiftyone(dataset: KFashionDataset, output: str | Path) -> Path:
    """
    Write a split as a folder that FiftyOne opens.

    Args:
        dataset: opened with classes="category_or_part".
        output: a folder.

    Returns:
        The folder.

    Raises:
        ValueError: another class mode, an archive that changed since the conversion, or the folder is refused; see
            :func:`.export_folder.new_export`.
        OSError: an image in an archive cannot be read.
    """
    require_classes(dataset)
    output = Path(output)
    names = [name.name for name in dataset.schema.thing_classes(dataset.classes)]
    with (
        new_export(output, "fiftyone", dataset) as folder,
        new_file(folder.partial / "labels.json") as labels,
        new_file(folder.partial / "data.json") as data,
    ):
        labels.write(b'{"classes": ' + orjson.dumps(names) + b',\n"labels": {')
        data.write(b"{")
        for number, image in enumerate(iter_images(dataset, "fiftyone")):
            key = (b",\n" if number else b"\n") + orjson.dumps(str(image["image_id"])) + b": "
            data.write(key + orjson.dumps(_media(image, folder)))
            labels.write(
                key + orjson.dumps([_detection(anno, image, dataset, names) for anno in trained_annotations(image)])
            )
        labels.write(b"}}\n")
        data.write(b"}\n")
    return output


def _media(image: dict[str, Any], folder: ExportFolder) -> str:
    """Return an absolute path of an image, unpacked where it is in an archive."""
    if not image["file_name"].startswith(PREFIX):
        return image["file_name"]
    name = f"data/{image['image_id']}{Path(image['file_name']).suffix.lower()}"
    write_file(folder.partial / name, read_image_bytes(image["file_name"]))
    return str(folder.final / name)


def _detection(
    anno: dict[str, Any], image: dict[str, Any], dataset: KFashionDataset, names: list[str]
) -> dict[str, Any]:
    x, y, w, h = anno["bbox"]
    width, height = image["width"], image["height"]
    return {
        "label": names[anno["category_id"]],
        "bounding_box": [x / width, y / height, w / width, h / height],
        "attributes": {"part": anno["part"], **attributes_in_words(anno, dataset.schema)},
    }
