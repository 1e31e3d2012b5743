"""This module chooses an annotation's photograph among several images of its stem: crops, masks, drawn-on copies."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ...schema import normalize_text
from ..annotation.parser import stated_size
from .file_table import Archive, FileColumns
from .image_types import image_rank
from .reader import SourceReader, UnreadableError

__all__ = ["ImageChooser"]

_SOURCE_FOLDER = re.compile(r"\[?원천")  # AI Hub's 원천데이터
_DERIVED_FOLDER = re.compile(
    r"(crop|mask|annotat|visuali|overlay|thumb|preview|segm|bbox|box|draw|debug|result|pred|resiz|augment)"
)


class ImageChooser:
    """
    Calling this object with an annotation and several images of its stem chooses the photograph. The first rule that
    tells them apart decides:

    1. the image has the size that the annotation states;
    2. it lies in a folder of the annotation's split;
    3. its folder has the name of the annotation's folder, which is the style;
    4. it lies in a folder that AI Hub calls 원천데이터, and in none called after crops, masks or drawings;
    5. it is of a kind that photographs have (.jpg before .png);
    6. it was found first.

    Files are opened for the first rule only, and only where the images are not copies of one length.
    """

    def __init__(self, root: Path, archives: list[Archive], labels: FileColumns, images: FileColumns):
        self._root, self._labels, self._images = root, labels, images
        self._reader = SourceReader(root, archives)

    def __call__(self, label: int, candidates: Sequence[int]) -> int:
        folder = self._labels.folders[self._labels.folder_ids[label]]
        fits = self._have_stated_size(label, candidates)

        def rank(row: int) -> tuple:
            image_folder = self._images.folders[self._images.folder_ids[row]]
            path = normalize_text(self._images.paths[row].as_py())
            parents, _, name = path.rpartition("/")
            return (
                row not in fits,
                not image_folder.decision.is_named,
                image_folder.style != folder.style,
                2 if _DERIVED_FOLDER.search(parents) else 0 if _SOURCE_FOLDER.search(parents) else 1,
                image_rank(name.rpartition(".")[2]),
                row,
            )

        return min(candidates, key=rank)

    def _have_stated_size(self, label: int, candidates: Sequence[int]) -> set[int]:
        """Return the candidates of the size that the annotation states; none where that tells nothing."""
        if len({self._length(row) for row in candidates}) == 1:
            return set()
        try:
            obj = self._reader.read_label(self._labels.take_one(label), 0).obj
        except UnreadableError:
            return set()
        size = stated_size(obj)
        return {row for row in candidates if size and self._reader.image_size(self._images.take_one(row), 0) == size}

    def _length(self, row: int) -> int:
        """Return an image's length in bytes, -1 where that cannot be told."""
        number, *_ = self._images.numbers[row].tolist()
        if number >= 0:
            return int(self._images.numbers[row, 3])
        try:
            return os.stat(f"{self._root}/{self._images.paths[row].as_py()}").st_size
        except OSError:
            return -1
