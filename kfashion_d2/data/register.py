"""This module registers a converted split with Detectron2's catalogs."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..schema import AttributeSchema
from .formats.coco_json import write_coco_json
from .store.dataset import KFashionDataset

__all__ = ["coco_json_file", "register_kfashion"]

logger = logging.getLogger(__name__)


def register_kfashion(
    name: str,
    store_dir: str | Path,
    classes: str = "category",
    *,
    image_root: str | Path | None = None,
    schema: AttributeSchema | None = None,
) -> None:
    """
    Register a split: ``DatasetCatalog.get(name)`` gives a :class:`KFashionDataset`, and ``MetadataCatalog.get(name)``
    has `thing_classes`, `thing_classes_korean`, `evaluator_type` ("kfashion"), `attribute_schema`, `classes`,
    `store_dir`, `image_root` and `thing_dataset_id_to_contiguous_id`. The same call again does nothing.

    Args:
        name: for ``cfg.DATASETS.TRAIN`` and ``cfg.DATASETS.TEST``.
        store_dir: the split's folder, as in `datasets/kfashion/train`.
        classes: "category", "part" or "category_or_part".
        image_root: where the images are, if they moved since conversion.
        schema: the vocabulary it was converted with, if not K-Fashion's.

    Raises:
        FileNotFoundError, ValueError: as :class:`KFashionDataset` says.
        ValueError: the name is taken by another dataset.
    """
    dataset = KFashionDataset(store_dir, classes, image_root=image_root, schema=schema)
    names = dataset.schema.thing_classes(classes)
    facts = {
        "evaluator_type": "kfashion",
        "classes": classes,
        "store_dir": str(Path(store_dir).resolve()),
        "store_hash": dataset.store_hash,
        "image_root": dataset.image_root,
        "thing_classes": [label.name for label in names],
        "thing_classes_korean": [label.korean for label in names],
        "thing_dataset_id_to_contiguous_id": {i + 1: i for i in range(len(names))},
    }
    metadata = MetadataCatalog.get(name)
    if name in DatasetCatalog:
        for key, value in facts.items():
            if metadata.get(key) != value:
                raise ValueError(
                    f"the dataset {name!r} is registered already, with {key} {metadata.get(key)!r} instead of "
                    f"{value!r}; choose another name, or remove it from DatasetCatalog and MetadataCatalog first"
                )
        return
    DatasetCatalog.register(name, lambda: KFashionDataset(store_dir, classes, image_root=image_root, schema=schema))
    metadata.set(**facts, attribute_schema=dataset.schema)


def coco_json_file(name: str) -> str:
    """
    Return the COCO file of a registered split, which is written when it is not there yet; also set the metadata's
    `json_file`, where Detectron2's COCOEvaluator looks. It lies in the split's folder, or, when that is read-only, in
    the system's temporary one; its name holds the class mode and the store's hash.
    """
    metadata = MetadataCatalog.get(name)
    if metadata.get("json_file"):
        return metadata.json_file
    file_name = f"coco_{metadata.classes}_{metadata.store_hash[:12]}.json"
    folder = Path(metadata.store_dir)
    if not (folder / file_name).is_file() and not os.access(folder, os.W_OK):
        folder = Path(tempfile.gettempdir(), f"kfashion_d2_{os.getuid()}")
        folder.mkdir(exist_ok=True)
        logger.info("%s is read-only: the COCO file goes to %s", metadata.store_dir, folder)
    path = folder / file_name
    if not path.is_file():
        write_coco_json(DatasetCatalog.get(name), path)
    metadata.json_file = str(path)
    return metadata.json_file
