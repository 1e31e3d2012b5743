"""This module reads the photograph of a dataset dict."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps

__all__ = ["UNREADABLE", "read_image"]

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what :func:`read_image` raises


def read_image(record: Mapping[str, Any], read_bytes: Callable[[str], bytes]) -> np.ndarray:
    """
    Read the photograph of a dataset dict.

    Args:
        record: with `file_name`, `height` and `width`.
        read_bytes: `file_name` -> the file's content.

    Returns:
        uint8 (H, W, 3) RGB, upright.

    Raises:
        UNREADABLE: the record has no file, the file cannot be read or is no image, or it is of another size.
    """
    if not record["file_name"]:
        raise ValueError("it has labels alone")
    with Image.open(io.BytesIO(read_bytes(record["file_name"]))) as file:
        image = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    height, width = image.shape[:2]
    if (height, width) != (record["height"], record["width"]):
        raise ValueError(f"it is {width} x {height}, its annotation says {record['width']} x {record['height']}")
    return image
