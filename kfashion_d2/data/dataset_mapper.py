"""
This module maps a dataset dict with attributes to what the model takes: it is Detectron2's mapper with label rows.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from PIL import Image
from torch.utils.data import Dataset

from ..schema import UNKNOWN, AttributeSchema
from .store.zip_reader import ZipChangedError

__all__ = ["AttributeDatasetMapper", "BrokenImageError", "SkipBrokenImages"]

logger = logging.getLogger(__name__)

# A box that a crop leaves alone may still pass the border by the rounding of the resize.
CUT_TOLERANCE = 1.0  # pixels of the network's input


class BrokenImageError(ValueError):
    """An image cannot be read, or is not of the size that its annotation says."""


class AttributeDatasetMapper(DatasetMapper):
    """
    This is Detectron2's mapper; in training its `instances` also carry

    - `gt_attributes`: int8 (N, L), 1 yes, 0 no, -1 unknown;
    - `gt_mask_valid`: bool (N,), with masks only: False where the polygon stands in for a box.

    Raises (from the call):
        BrokenImageError: see there; the message names the file.
    """

    @configurable
    def __init__(self, is_train: bool, *, schema: AttributeSchema, length_groups: Sequence[str] = (), **kwargs):
        """
        Keep what Detectron2's mapper needs, and the groups of the label rows.

        Args:
            is_train: whether annotations are wanted.
            schema: the groups of the label rows.
            length_groups: groups that become unknown for a garment that a crop cuts.
            kwargs: as for :class:`detectron2.data.DatasetMapper`.
        """
        super().__init__(is_train, **kwargs)
        self.schema = schema
        self._length_columns = np.zeros(schema.num_labels, dtype=bool)
        for name in set(length_groups) & set(schema.group_names):
            self._length_columns[schema.slice(name)] = True

    @classmethod
    def from_config(cls, cfg, is_train: bool = True) -> dict[str, Any]:
        ret = super().from_config(cfg, is_train)
        if is_train and cfg.INPUT.CROP.ENABLED and cfg.MODEL.MASK_ON and find_spec("shapely") is None:
            raise ValueError(
                "INPUT.CROP.ENABLED and MODEL.MASK_ON are True, and Detectron2 crops polygons with shapely, which is "
                "not installed: run 'python -m pip install shapely', or set one of the two to False"
            )
        schema = AttributeSchema.from_config(cfg)
        if is_train and cfg.INPUT.COLOR_JITTER > 0:
            colors = [name for name in cfg.INPUT.COLOR_GROUPS if name in schema.group_names]
            if colors:
                raise ValueError(
                    f"INPUT.COLOR_JITTER is {cfg.INPUT.COLOR_JITTER}, but {', '.join(colors)} train: jitter changes "
                    "the colour and keeps the label. Set it to 0, or leave them out of ROI_ATTRIBUTE_HEAD.GROUPS"
                )
            low, high = 1 - cfg.INPUT.COLOR_JITTER, 1 + cfg.INPUT.COLOR_JITTER
            ret["augmentations"] += [f(low, high) for f in (T.RandomBrightness, T.RandomContrast, T.RandomSaturation)]
        ret.update(schema=schema, length_groups=cfg.INPUT.CROP.LENGTH_GROUPS if cfg.INPUT.CROP.ENABLED else ())
        return ret

    def __call__(self, dataset_dict: dict) -> dict:
        try:
            return super().__call__(dataset_dict)
        except Exception as error:
            if not self._is_broken(dataset_dict, error):
                raise
            name = dataset_dict["file_name"]
            raise BrokenImageError(
                f"cannot use the image {name}: {error or type(error).__name__}. Mend or remove it, then convert again "
                "('convert_kfashion.py --check-images' finds all of them)"
            ) from error

    def _is_broken(self, dataset_dict: dict, error: Exception) -> bool:
        """
        Say whether the image is at fault. Decoders fail with many kinds of errors; those it has when read alone are its
        own.
        """
        if isinstance(error, (OSError, SyntaxError, Image.DecompressionBombError, utils.SizeMismatchError)):
            return True
        if isinstance(error, (MemoryError, ZipChangedError)):
            return False
        try:
            utils.read_image(dataset_dict["file_name"], format=self.image_format)
        except Exception:
            return True
        return False

    def _transform_annotations(self, dataset_dict: dict, transforms, image_shape: tuple[int, int]) -> None:
        annos = [anno for anno in dataset_dict.pop("annotations") if not anno.get("iscrowd", 0)]
        rows = np.full((len(annos), self.schema.num_labels), UNKNOWN, dtype=np.int8)
        for row, anno in zip(rows, annos, strict=True):
            row[:] = self.schema.encode(anno["attributes"], anno["part"])
            if self._length_columns.any() and self._is_cut(anno, transforms, image_shape):
                row[self._length_columns] = UNKNOWN
            if not self.use_instance_mask:
                anno.pop("segmentation", None)
        valid = [anno.get("mask_valid", True) for anno in annos]
        annos = [utils.transform_instance_annotations(anno, transforms, image_shape) for anno in annos]
        instances = utils.annotations_to_instances(annos, image_shape, mask_format=self.instance_mask_format)
        if self.recompute_boxes and annos:
            boxes = instances.gt_masks.get_bounding_boxes()
            keep = torch.tensor(valid)
            instances.gt_boxes.tensor[keep] = boxes.tensor[keep]
        instances.gt_attributes = torch.from_numpy(rows)
        if self.use_instance_mask:
            instances.gt_mask_valid = torch.tensor(valid, dtype=torch.bool)
        # Rows are set before, so that they leave together with their boxes.
        dataset_dict["instances"] = utils.filter_empty_instances(instances)

    @staticmethod
    def _is_cut(anno: dict, transforms, image_shape: tuple[int, int]) -> bool:
        """Say whether the transforms put a part of the garment's box outside the picture."""
        box = BoxMode.convert(anno["bbox"], anno["bbox_mode"], BoxMode.XYXY_ABS)
        x0, y0, x1, y1 = transforms.apply_box(np.array([box]))[0]
        height, width = image_shape
        return bool(min(x0, y0) < -CUT_TOLERANCE or x1 > width + CUT_TOLERANCE or y1 > height + CUT_TOLERANCE)


class SkipBrokenImages(Dataset):
    """
    This dataset maps images for training, and in place of a broken image gives another one, whose dict then names those
    that were broken, as `broken_images` (list[str]): counts of a data loader's worker would stay in the worker.

    (A mapper that returns None, Detectron2's own way, crashes some of its versions on Python 3.11 and newer.)
    """

    MAX_TRIES = 20

    def __init__(self, dataset: Dataset, mapper: Callable[[dict], dict]):
        """
        Wrap a dataset with its mapper.

        Args:
            dataset: of dataset dicts, with a length.
            mapper: raises BrokenImageError for an image that cannot be used.
        """
        self.dataset = dataset
        self.mapper = mapper
        self.num_broken = 0  # that this process met

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> dict:
        """
        Return the mapped dict of an image, or of another one where it is broken.

        Raises:
            BrokenImageError: image after image is broken, as when the image root is wrong.
        """
        # Seeded by the index: a resumed run meets the same images.
        rng = random.Random(int(index))
        broken: list[str] = []
        for _ in range(self.MAX_TRIES):
            record = self.dataset[index]
            name = record["file_name"]
            try:
                mapped = self.mapper(record)
            except BrokenImageError as error:
                last = error
                self.num_broken += 1
                logger.warning("skipped: %s", error)
                broken.append(name)
                index = rng.randrange(len(self))
            else:
                return {**mapped, "broken_images": broken} if broken else mapped
        raise BrokenImageError(
            f"{self.MAX_TRIES} images in a row are broken; is DATASETS.KFASHION.IMAGE_ROOT right? The last one: {last}"
        ) from last
