"""This module makes small pictures of single garments, for a page."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from .faces import blur_faces
from .images import UNREADABLE, read_image

__all__ = ["crop_garment", "make_thumbnails"]

logger = logging.getLogger(__name__)

HEIGHT, WIDEST = 128, 160  # pixels
MARGIN = 0.08  # of the box's longer side, all around
Key = TypeVar("Key", bound=Hashable)


def crop_garment(image: np.ndarray, bbox: Sequence[float]) -> np.ndarray:
    """
    Cut a garment out of its picture.

    Args:
        image: uint8 (H, W, 3) RGB.
        bbox: x, y, width, height in pixels.

    Returns:
        uint8 (h, w, 3): the box with a margin, of HEIGHT, or lower where it would be wider than WIDEST.
    """
    x, y, w, h = bbox
    margin = MARGIN * max(w, h)
    x0, y0 = max(int(x - margin), 0), max(int(y - margin), 0)
    crop = image[y0 : max(int(y + h + margin), y0 + 1), x0 : max(int(x + w + margin), x0 + 1)]
    scale = min(HEIGHT / crop.shape[0], WIDEST / crop.shape[1])
    size = (max(round(crop.shape[1] * scale), 1), max(round(crop.shape[0] * scale), 1))
    return cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def make_thumbnails(
    datasets: Sequence[Any],
    picked: Mapping[Key, Sequence[tuple[int, int, int]]],
    read_bytes: Callable[[str], bytes],
    *,
    blur: bool = False,
) -> dict[Key, list[bytes]]:
    """
    Make small pictures of garments that were picked.

    Args:
        datasets: sequences of dataset dicts.
        picked: key -> (dataset, image in it, garment in the image).
        read_bytes: `file_name` -> the image file's content.
        blur: see :func:`blur_faces`; on the whole photograph, where a face is more easily found than in a part of it.

    Returns:
        key -> JPEG files, in order. Of an image that cannot be read there is none, and a warning.
    """
    wanted: dict[tuple[int, int], list[tuple[int, Key, int]]] = {}
    for key, garments in picked.items():
        for position, (dataset, image, garment) in enumerate(garments):
            wanted.setdefault((dataset, image), []).append((position, key, garment))
    files_by_key: dict[Key, dict[int, bytes]] = {key: {} for key in picked}
    for (dataset, number), garments in tqdm(sorted(wanted.items()), desc="thumbnails", unit=" images"):
        record = datasets[dataset][number]
        try:
            image = read_image(record, read_bytes)
        except UNREADABLE as error:
            logger.warning("no thumbnail of %s: %s", record["file_name"], error)
            continue
        image = blur_faces(image) if blur else image
        for position, key, garment in garments:
            buffer = io.BytesIO()
            crop = crop_garment(image, record["annotations"][garment]["bbox"])
            Image.fromarray(crop).save(buffer, "JPEG", quality=85)
            files_by_key[key][position] = buffer.getvalue()
    return {key: [files[position] for position in sorted(files)] for key, files in files_by_key.items()}
