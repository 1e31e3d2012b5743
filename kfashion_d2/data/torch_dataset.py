"""
This module opens a converted split for plain PyTorch: a DataLoader, without Detectron2.

Shapes: B images a batch, N garments of an image, K labels of a group.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from ..schema import UNKNOWN, AttributeSchema
from .store.dataset import KFashionDataset
from .store.zip_reader import ZipChangedError, read_image_bytes

__all__ = ["TorchDataset", "collate", "load_data"]

logger = logging.getLogger(__name__)

MAX_TRIES = 20  # broken images in a row, before we blame the image root


class TorchDataset(Dataset):
    """
    This dataset gives a split as pairs of image and target, for a model that knows nothing of Detectron2.

    An item is an image, float32 (3, H, W) RGB in [0, 1], and a target, a dict of

    - `boxes`: float32 (N, 4), x0 y0 x1 y1 in pixels;
    - `labels`: int64 (N,), the class from 1 on, as torchvision's detectors take it (0 is their background);
    - `parts`: int64 (N,), ids in `schema.parts`;
    - `attributes`: dict of group -> int64 (N,) label ids (single), or float32 (N, K) of 0 and 1 (multi). -1 is unknown
      or not applicable; `schema.group(name).part_labels` says which groups apply to a part;
    - `image_id`: int.

    Attributes:
        schema (AttributeSchema): of the attributes.
        class_names (tuple[Label]): `class_names[labels - 1]` are the names.
    """

    def __init__(self, dataset: KFashionDataset, train: bool, transforms: Callable | None = None):
        """
        Keep a split, and how its images are to be given.

        Args:
            dataset: its class mode decides the labels. Garments whose class is unknown (class mode "category") are
                left out, as no detector of this kind can ignore a box.
            train: leave out images without a garment; take another image for a broken one, with a warning.
            transforms: called with (image, target), as torchvision.transforms.v2 are; `boxes` are its BoundingBoxes.
        """
        self.dataset = dataset
        self.train = train
        self.transforms = transforms
        self.indices = np.flatnonzero(dataset.num_garments) if train else np.arange(len(dataset))

    @property
    def schema(self) -> AttributeSchema:
        return self.dataset.schema

    @property
    def class_names(self) -> tuple:
        return self.schema.thing_classes(self.dataset.classes)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        """
        Read an image and its target; in training the next one where it is broken, with a warning.

        Raises:
            ValueError: the image cannot be used; in training, only where one after another cannot.
        """
        for step in range(MAX_TRIES):
            record = self.dataset[int(self.indices[index])]
            try:
                return self._load(record)
            except ZipChangedError:
                raise
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                message = f"cannot use the image {record['file_name']}: {error}"
                if not self.train or step == MAX_TRIES - 1:
                    raise ValueError(
                        f"{message}. Convert again with --check-images, which leaves broken images out"
                    ) from error
                logger.warning("skipped: %s", message)
                index = (index + 1) % len(self)
        raise AssertionError("unreachable")

    def _load(self, record: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        with Image.open(io.BytesIO(read_image_bytes(record["file_name"]))) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        if image.size != (record["width"], record["height"]):
            raise ValueError(f"it is of size {image.size}, not {(record['width'], record['height'])}")
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        annos = [anno for anno in record["annotations"] if anno["category_id"] != UNKNOWN and not anno["iscrowd"]]
        boxes = torch.tensor([anno["bbox"] for anno in annos], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        size = (record["height"], record["width"])
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),  # type: ignore[call-overload]
            "labels": torch.tensor([anno["category_id"] + 1 for anno in annos], dtype=torch.int64),
            "parts": torch.tensor([self.schema.parts.index(anno["part"]) for anno in annos], dtype=torch.int64),
            "attributes": _attributes(annos, self.schema),
            "image_id": record["image_id"],
        }
        if self.transforms is not None:
            pixels, target = self.transforms(tv_tensors.Image(pixels), target)
        target["boxes"] = target["boxes"].as_subclass(Tensor)
        return pixels.as_subclass(Tensor), target


def _attributes(annos: Sequence[dict[str, Any]], schema: AttributeSchema) -> dict[str, Tensor]:
    rows = np.zeros((len(annos), schema.num_labels), dtype=np.int8)
    for row, anno in zip(rows, annos, strict=True):
        row[:] = schema.encode(anno["attributes"], anno["part"])
    result = {}
    for group in schema.groups:
        columns = torch.from_numpy(rows[:, schema.slice(group.name)])
        if group.is_single:
            known = columns.amax(1) == 1 if len(annos) else torch.zeros(0, dtype=torch.bool)
            result[group.name] = columns.argmax(1).where(known, UNKNOWN)
        else:
            result[group.name] = columns.float()
    return result


def collate(batch: Sequence[tuple[Tensor, dict[str, Any]]]) -> tuple[Tensor, list[dict[str, Any]], list[int]]:
    """
    Put the items of :class:`TorchDataset` into one batch.

    Returns:
        images: float32 (B, 3, H, W); smaller ones are padded with 0 at the right and the bottom, so boxes stay.
        targets: B dicts, see :class:`TorchDataset`.
        ids: B image ids.
    """
    height, width = (max(image.shape[axis] for image, _ in batch) for axis in (1, 2))
    images = [F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image, _ in batch]
    return torch.stack(images), [target for _, target in batch], [target["image_id"] for _, target in batch]


def load_data(
    train: bool,
    batch_size: int = 16,
    num_workers: int = 0,
    data_root: str | Path = "datasets/kfashion",
    *,
    classes: str = "category_or_part",
    image_root: str | Path | None = None,
    schema: AttributeSchema | None = None,
    transforms: Callable | None = None,
) -> DataLoader:
    """
    Make batches of (images, targets, ids), as :func:`collate` says, in the spirit of the loader of K-COORD's K-Fashion
    code (https://github.com/K-COORD/K-Fashion), whose arguments it takes.

    Args:
        train: the split `train`, shuffled, and flipped left to right half the time (boxes too); else `val`, in order.
        batch_size: images a batch; the last batch may be smaller.
        num_workers: processes that read images; 0 reads in this one.
        data_root: the converter's output folder.
        classes: "category_or_part" (25 classes; a garment of unknown category is an "other top", "other bottom", ...),
            "category" (21; such garments are left out) or "part" (4; the category becomes one more attribute).
        image_root: where the images are, if they moved since conversion.
        schema: the vocabulary it was converted with, if not K-Fashion's.
        transforms: in place of the flip; see :class:`TorchDataset`.

    Raises:
        FileNotFoundError, ValueError: as :class:`KFashionDataset` says.
    """
    split = Path(data_root, "train" if train else "val")
    dataset = KFashionDataset(split, classes, image_root=image_root, schema=schema)
    if transforms is None and train:
        transforms = v2.RandomHorizontalFlip(0.5)
    return DataLoader(
        TorchDataset(dataset, train, transforms),
        batch_size=batch_size,
        shuffle=train,
        num_workers=num_workers,
        collate_fn=collate,
    )
