"""Find the annotations and images under a folder, whatever its layout, and join them."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..schema import normalize_text

__all__ = ["Source", "find_sources"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
SPLITS = {
    **dict.fromkeys(("training", "train"), "train"),
    **dict.fromkeys(("validation", "val", "valid"), "val"),
}


class Source(NamedTuple):
    """
    One annotation and its image; both paths as they are on the disk, relative to the data's root.

    Attributes:
        split: the split's name.
        label: path of the JSON file.
        image: path of the image, or "" where there is none.
    """

    split: str
    label: str
    image: str

    @property
    def stem(self) -> str:
        return unicodedata.normalize("NFC", os.path.splitext(os.path.basename(self.label))[0])


def find_sources(
    root: Path, default_split: str = "train", skip: Path | None = None
) -> tuple[list[Source], dict[str, int]]:
    """
    One walk over the tree. An annotation's image has its file's stem; of several, the one in the folder of the same
    name (the style), and of those the first.

    Args:
        root: the data's folder.
        default_split: of files under no folder named Training, Validation, train or val.
        skip: a folder to leave out (the output, when it lies inside the data).

    Returns:
        The sources, ordered by split, then by id (the stem as a number where it is one), then by path; and the number
        of images in each split.

    Raises:
        FileNotFoundError: no such folder, or not one JSON file in it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder that holds Training and Validation")
    labels: list[tuple[str, str]] = []
    images: dict[tuple[str, str], list[str]] = defaultdict(list)
    num_images: dict[str, int] = defaultdict(int)
    for path in _walk(root, skip):
        stem, suffix = os.path.splitext(os.path.basename(path))
        split = _split_of(path, root.name, default_split)
        if suffix.lower() == ".json":
            labels.append((split, path))
        elif suffix.lower() in IMAGE_SUFFIXES:
            images[split, unicodedata.normalize("NFC", stem)].append(path)
            num_images[split] += 1
    if not labels:
        raise FileNotFoundError(f"no .json annotation under {root}; give the folder that holds Training and Validation")
    sources = []
    for split, path in labels:
        source = Source(split, path, "")
        candidates = images.get((split, source.stem), [])
        style = _style_folder(path)
        same = [image for image in candidates if _style_folder(image) == style]
        sources.append(source._replace(image=(same or candidates or [""])[0]))
    sources.sort(key=lambda s: (s.split, *_id_order(s.stem), unicodedata.normalize("NFC", s.label)))
    return sources, dict(num_images)


def _walk(root: Path, skip: Path | None) -> Iterator[str]:
    """Paths of all files relative to the root, in a fixed order."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if skip is not None:
            folders[:] = [name for name in folders if Path(folder, name) != skip]
        relative = os.path.relpath(folder, root)
        for name in sorted(files):
            yield name if relative == "." else f"{relative}{os.sep}{name}".replace(os.sep, "/")


def _split_of(path: str, root_name: str, default: str) -> str:
    """By the nearest folder whose name says it, the root's own name last."""
    for name in [*reversed(path.split("/")[:-1]), root_name]:
        split = SPLITS.get(normalize_text(name))
        if split:
            return split
    return default


def _style_folder(path: str) -> str:
    return normalize_text(os.path.basename(os.path.dirname(path)))


def _id_order(stem: str) -> tuple[int, int]:
    return (0, int(stem)) if stem.isdecimal() and len(stem) < 19 else (1, 0)
