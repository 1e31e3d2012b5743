"""This module registers a converted split with Detectron2's catalogs."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata

from ..schema import AttributeSchema
from .formats.coco_json import write_coco_json
from .store.dataset import KFashionDataset

__all__ = ["KFashionMetadata", "coco_json_file", "register_kfashion"]

logger = logging.getLogger(__name__)


class KFashionMetadata(Metadata):
    """
    This is the metadata of a registered split. Its `json_file`, where Detectron2's COCOEvaluator looks, is written
    when it is first asked for.
    """

    @property
    def json_file(self) -> str:
        """
        Return the COCO file of the split, which is written when it is not there yet.

        It lies in the split's folder, or, when that is read-only, in the system's temporary one; its name holds the
        class mode and the store's hash.
        """
        file_name = f"coco_{self.classes}_{self.store_hash[:12]}.json"
        folder = Path(self.store_dir)
        if not (folder / file_name).is_file() and not os.access(folder, os.W_OK):
            folder = Path(tempfile.gettempdir(), f"kfashion_d2_{os.getuid()}")
            folder.mkdir(exist_ok=True)
            logger.info("%s is read-only: the COCO file goes to %s", self.store_dir, folder)
        path = folder / file_name
        if not path.is_file():
            write_coco_json(self.open_split(), path)
        return str(path)


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
    `store_dir`, `image_root`, `thing_dataset_id_to_contiguous_id` and `json_file`. The same call again does nothing.
    After ``DatasetCatalog.remove(name)`` the name is free.

    Args:
        name: for ``cfg.DATASETS.TRAIN`` and ``cfg.DATASETS.TEST``.
        store_dir: the split's folder, as in `datasets/kfashion/train`.
        classes: "category", "part" or "category_or_part".
        image_root: where the images are, if they moved since conversion.
        schema: the vocabulary it was converted with, if not K-Fashion's.

    Raises:
        FileNotFoundError, ValueError: as :class:`KFashionDataset` says.
        ValueError: the name is taken by another dataset, or its metadata says something else. Nothing is registered.
    """
    open_split = partial(KFashionDataset, store_dir, classes, image_root=image_root, schema=schema)
    dataset = open_split()
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
        "attribute_schema": dataset.schema,
    }
    metadata = MetadataCatalog.get(name)
    if name in DatasetCatalog:
        _check_same(name, metadata, facts, [key for key in facts if key != "attribute_schema"])
        return
    if isinstance(metadata, KFashionMetadata):  # of a split that was removed from DatasetCatalog
        for key in (*facts, "open_split"):
            metadata.__dict__.pop(key, None)
    _check_same(name, metadata, facts, [key for key in (*facts, "json_file") if key in metadata.__dict__])
    # Others may hold the metadata already, so that it cannot be replaced by a new object; its own __setattr__ refuses.
    object.__setattr__(metadata, "__class__", KFashionMetadata)
    metadata.set(**facts, open_split=open_split)
    DatasetCatalog.register(name, open_split)


def _check_same(name: str, metadata: Metadata, facts: dict[str, Any], keys: Iterable[str]) -> None:
    for key in keys:
        value, given = facts.get(key), metadata.__dict__.get(key)
        if given != value:
            raise ValueError(
                f"the dataset {name!r} is registered already, with {key} {given!r} instead of {value!r}; choose "
                "another name, or remove it from DatasetCatalog and MetadataCatalog first"
            )


def coco_json_file(name: str) -> str:
    """Return the COCO file of a registered split, which is written when it is not there yet."""
    return MetadataCatalog.get(name).json_file
