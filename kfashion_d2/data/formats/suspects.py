"""
This module writes labels to look at again: as a list, for COCO viewers and for FiftyOne. No image is copied.

    fiftyone.Dataset.from_dir("suspects_fiftyone", dataset_type=fiftyone.types.FiftyOneImageDetectionDataset,
                              data_path="data.json", include_all_data=True)
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ...utils.files import new_file
from ..store.dataset import KFashionDataset
from .common import relative_name, write_object

__all__ = ["export_suspects"]

# The keys of a row that are told of a suspect whatever the format.
FIELDS = (
    "rank",
    "group",
    "given",
    "given_korean",
    "suggested",
    "suggested_korean",
    "given_score",
    "suggested_score",
    "margin",
)


def export_suspects(
    rows: Sequence[Mapping[str, Any]], output: str | Path, dataset: KFashionDataset | None = None
) -> list[Path]:
    """
    Write ``suspects.csv``, one row a suspect, best evidence first; and with the split ``suspects_coco.json``, an
    annotation for each with its facts as further keys and its group as category, and the folder
    ``suspects_fiftyone``, a detection for each, labelled "given → suggested".

    Args:
        rows: dicts of rank, image_id, image_index, place, box (XYXY), part, group, given, suggested (None: the label
            is not there), their Korean names and scores, margin.
        output: a folder.
        dataset: the split that they are of, where it is at hand: then file names, label files and index in the
            annotation file stand in the list, too.

    Returns:
        The files and folders written.
    """
    output = Path(output)
    locations = [_location(row, dataset) for row in rows]
    written = [_write_csv(rows, locations, output / "suspects.csv")]
    if dataset is not None:
        written.append(_write_coco(rows, dataset, output / "suspects_coco.json"))
        written.append(_write_fiftyone(rows, dataset, output / "suspects_fiftyone"))
    return written


def _location(row: Mapping[str, Any], dataset: KFashionDataset | None) -> dict[str, Any]:
    location = {name: row[name] for name in ("image_id", "image_index", "place", "part")}
    if dataset is not None:
        image = dataset[row["image_index"]]
        names = {"file_name": relative_name(dataset, image["file_name"]), "label_file": image["label_file"]}
        location = {**names, **location, "index": image["annotations"][row["place"]]["index"]}
    return {**location, **dict(zip(("x0", "y0", "x1", "y1"), row["box"], strict=True))}


def _write_csv(rows: Sequence[Mapping[str, Any]], locations: Sequence[Mapping[str, Any]], path: Path) -> Path:
    columns = [*FIELDS, *(locations[0] if locations else ("image_id", "image_index", "place", "part"))]
    # The mark at the beginning lets spreadsheets see that it is UTF-8.
    with new_file(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        for row, location in zip(rows, locations, strict=True):
            writer.writerow({**{name: row[name] for name in FIELDS}, **location})
    return path


def _images(rows: Sequence[Mapping[str, Any]], dataset: KFashionDataset) -> dict[int, dict[str, Any]]:
    """Return image_index -> dataset dict, in the order of the best suspect."""
    return {index: dataset[index] for index in dict.fromkeys(row["image_index"] for row in rows)}


def _write_coco(rows: Sequence[Mapping[str, Any]], dataset: KFashionDataset, path: Path) -> Path:
    groups = list(dict.fromkeys(row["group"] for row in rows))
    images = _images(rows, dataset)
    annotations = []
    for number, row in enumerate(rows, start=1):
        x0, y0, x1, y1 = row["box"]
        annotations.append(
            {
                "id": number,
                "image_id": row["image_id"],
                "category_id": groups.index(row["group"]) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "segmentation": images[row["image_index"]]["annotations"][row["place"]]["segmentation"],
                **{name: row[name] for name in FIELDS},
            }
        )
    write_object(
        path,
        {
            "info": {"description": f"Labels of {dataset.split_dir.name} to look at", "image_root": dataset.image_root},
            "categories": [{"id": i, "name": name} for i, name in enumerate(groups, start=1)],
            "images": [
                {
                    "id": image["image_id"],
                    "file_name": relative_name(dataset, image["file_name"]),
                    "height": image["height"],
                    "width": image["width"],
                }
                for image in images.values()
            ],
            "annotations": annotations,
        },
    )
    return path


def _write_fiftyone(rows: Sequence[Mapping[str, Any]], dataset: KFashionDataset, folder: Path) -> Path:
    images = _images(rows, dataset)
    labels: dict[str, list[dict[str, Any]]] = {str(image["image_id"]): [] for image in images.values()}
    for row in rows:
        image = images[row["image_index"]]
        width, height = image["width"], image["height"]
        x0, y0, x1, y1 = row["box"]
        labels[str(row["image_id"])].append(
            {
                "label": f"{row['given'] or 'nothing'} → {row['suggested'] or 'nothing'}",
                "bounding_box": [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height],
                "confidence": row["margin"],
                "attributes": {"part": row["part"], **{name: row[name] for name in FIELDS}},
            }
        )
    with new_file(folder / "labels.json") as file:
        file.write(orjson.dumps({"labels": labels}))  # without "classes" the labels are names
    with new_file(folder / "data.json") as file:
        file.write(orjson.dumps({str(image["image_id"]): image["file_name"] for image in images.values()}))
    return folder
