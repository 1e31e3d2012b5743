"""This module draws some images of a dataset with their annotations, to look at."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...schema import AttributeSchema
from .fonts import resolve_language
from .images import UNREADABLE, read_image
from .instances import CELL_WIDTH, contact_sheet, draw_instances, shrink
from .style import styles_from_record

__all__ = ["draw_dataset", "save_picture"]

logger = logging.getLogger(__name__)


def save_picture(image: np.ndarray, path: str | Path) -> None:
    """Write uint8 (H, W, 3) RGB by the path's suffix; JPEG with full colour resolution, or small text would blur."""
    options = {"quality": 92, "subsampling": 0} if Path(path).suffix.lower() in (".jpg", ".jpeg") else {}
    Image.fromarray(image).save(path, **options)


def _read_file(file_name: str) -> bytes:
    return Path(file_name).read_bytes()


def draw_dataset(
    dataset: Any,
    output: str | Path,
    *,
    schema: AttributeSchema,
    class_names: Sequence[str],
    num: int = 16,
    seed: int = 0,
    language: str = "en",
    columns: int = 4,
    read_bytes: Callable[[str], bytes] = _read_file,
) -> list[Path]:
    """
    Draw images of a dataset, picked at random, into files ``<place in the dataset>-<stem>.jpg``, and all of them into
    ``contact_sheet.jpg``. An image that cannot be read is reported and left out.

    Args:
        dataset: a sequence of dataset dicts with attributes.
        output: a folder; made where it is not there.
        schema, class_names: of the dicts' attributes and category ids.
        num: how many; all where the dataset has fewer.
        seed: equal seeds pick equal images.
        language, columns: see :func:`draw_instances` and :func:`contact_sheet`.
        read_bytes: a dict's `file_name` to the file's content; give `kfashion_d2.data.read_image_bytes` for images
            inside archives.

    Returns:
        list[Path]: the pictures in the dataset's order, the contact sheet last.

    Raises:
        ValueError: `num` is below 1, the dataset is empty, or not one of the images could be read.
    """
    if num < 1 or not len(dataset):
        raise ValueError(f"nothing to draw: num={num} of {len(dataset)} images")
    language = resolve_language(language)
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    picked = sorted(np.random.default_rng(seed).choice(len(dataset), min(num, len(dataset)), replace=False).tolist())
    pictures, files = [], []
    for index in tqdm(picked, desc="drawing", unit="image"):
        record = dataset[index]
        try:
            image = read_image(record, read_bytes)
        except UNREADABLE as error:
            logger.warning("left out image %d, %s: %s", index, record["file_name"], error)
            continue
        styles = styles_from_record(record, schema)
        picture = draw_instances(image, record["annotations"], schema, class_names, language=language, styles=styles)
        files.append(output / f"{index:06d}-{Path(record['file_name']).stem}.jpg")
        save_picture(picture, files[-1])
        pictures.append(shrink(picture, CELL_WIDTH))
    if not pictures:
        raise ValueError(
            f"not one of {len(picked)} images could be read; if they moved since conversion, say where they are "
            "(--image-root, or DATASETS.KFASHION.IMAGE_ROOT)"
        )
    files.append(output / "contact_sheet.jpg")
    save_picture(contact_sheet(pictures, columns), files[-1])
    return files
