"""This module holds what a search of the data's folders gives: every annotation, its image, and what was noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .file_table import Archive, FileColumns
from .walk import DEAD_LINK, UNREADABLE

__all__ = ["MISLEADING", "Note", "SourceIndex", "SplitRule"]

MISLEADING = "looks like the name of a split, but says none"
NOTES = 1 << 16  # that are made at a time


class Note(NamedTuple):
    """
    A note is something to be told that is not in an annotation: (split, path, reason, unit that it counts in, value).
    """

    split: str
    path: str
    reason: str
    unit: str
    value: Any = None

    @property
    def hides_data(self) -> bool:
        """Say whether something was not read, and nobody can say how much it holds."""
        return self.unit == "archives" or self.reason in (DEAD_LINK, UNREADABLE)


class SplitRule(NamedTuple):
    """
    A split rule says why annotations belong to a split.

    Attributes:
        split: its name.
        rule: what decided, for people.
        names: the names of folders and archives that say it, ascending.
        annotations: how many it decided.
    """

    split: str
    rule: str
    names: list[str]
    annotations: int


@dataclass
class SourceIndex:
    """
    The index has all annotations and images that there are, and says which image is whose.

    Attributes:
        archives: the zip archives read from.
        splits: split -> (rows of `labels`, rows of `images`; -1 where an annotation has none), in the order of
            conversion: by id (the stem as a number where it is one), then by path.
        labels, images: all of them, in the order of finding.
        num_images: split -> images found.
        unused: int64 and bool: the rows of `images` that no annotation uses, and whether one uses another image of
            the same name.
        chosen, reused: as in :class:`ImageJoin`.
        split_rules: of each split and rule that decided it: the names that said it, and the number of annotations.
    """

    archives: list[Archive]
    splits: dict[str, tuple[np.ndarray, np.ndarray]]
    labels: FileColumns
    images: FileColumns
    num_images: dict[str, int]
    unused: tuple[np.ndarray, np.ndarray]
    chosen: tuple[np.ndarray, np.ndarray]
    reused: tuple[np.ndarray, np.ndarray]
    split_rules: list[SplitRule]
    _notes: list[Note]

    def __len__(self) -> int:
        return len(self.labels)

    def notes(self) -> Iterator[Note]:
        """Yield notes of archives, entries and images that no annotation uses; there may be a million."""
        yield from self._notes
        yield from self._image_notes("several images of this name", *self.chosen)
        yield from self._image_notes("image of another annotation", *self.reused)
        reasons = "image without annotation", "annotation has another image of this name"
        for start in range(0, len(self.unused[0]), NOTES):
            rows, is_second = (column[start : start + NOTES] for column in self.unused)
            paths, folders = self.images.take(rows).paths, self.images.folder_ids[rows].tolist()
            for path, folder, second in zip(paths, folders, is_second.tolist(), strict=True):
                yield Note(self.images.folders[folder].split, path, reasons[second], "images")

    def misleading_names(self) -> list[Note]:
        """List the notes of folders and archives whose names look like a split's and say none."""
        return [note for note in self._notes if note.reason == MISLEADING]

    def _image_notes(self, reason: str, label_rows: np.ndarray, image_rows: np.ndarray) -> Iterator[Note]:
        """Yield a note of each annotation, with its image as the value."""
        for start in range(0, len(label_rows), NOTES):
            rows = label_rows[start : start + NOTES]
            labels, images = self.labels.take(rows).paths, self.images.take(image_rows[start : start + NOTES]).paths
            folders = self.labels.folder_ids[rows].tolist()
            for folder, label, image in zip(folders, labels, images, strict=True):
                yield Note(self.labels.folders[folder].split, label, reason, "annotations", image)

    def describe(self) -> str:
        """Describe for people what there is, a line for each folder or archive."""
        lines = []
        for split, (rows, images) in sorted(self.splits.items()):
            lines.append(f"{split}: {len(rows):,} annotations, {int((images >= 0).sum()):,} of them with an image")
            for kind, columns, used in (
                ("annotations", self.labels, rows),
                ("images", self.images, images[images >= 0]),
            ):
                where = Counter(columns.numbers[used, 0].tolist()) if len(used) else Counter()
                for number, count in sorted(where.items()):
                    name = "files" if number < 0 else self.archives[number].path
                    lines.append(f"  {count:>9,} {kind} in {name}")
        for text, count in sorted(Counter(f"{note.unit}: {note.reason}" for note in self.notes()).items()):
            lines.append(f"{count:,} {text}")
        return "\n".join(lines)
