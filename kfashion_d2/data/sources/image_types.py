"""This module knows files of images by the endings of their names, and which of them Pillow reads here."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["IMAGE_SUFFIXES", "can_read", "image_rank"]

_USUAL = ("jpg", "jpeg", "png")
_UNUSUAL = ("jpe", "jfif", "webp", "bmp", "tif", "tiff", "gif", "avif", "heic", "heif", "jp2", "jxl", "psd", "dng")
IMAGE_SUFFIXES = frozenset((*_USUAL, *_UNUSUAL))
_PHOTOGRAPHS = frozenset({"jpg", "jpeg", "jpe", "jfif", "webp", "heic", "heif"})


@lru_cache
def can_read(suffix: str) -> bool:
    """Say whether training can read images whose names end like this (lower case, no dot)."""
    if suffix in _USUAL:
        return True  # without Pillow, which a conversion seldom needs
    from PIL import Image

    Image.init()
    return Image.EXTENSION.get(f".{suffix}") in Image.OPEN


def image_rank(suffix: str) -> int:
    """Return 0 for kinds of files that photographs come in, 1 for those that masks and drawings come in."""
    return int(suffix not in _PHOTOGRAPHS)
