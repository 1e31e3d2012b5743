"""
This module finds the annotations and images under a folder, in files and in zip archives, whatever the layout, and
joins them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...schema import normalize_text
from .file_table import FileColumns, FileColumnsBuilder, Folder
from .image_join import join_images
from .paths import escaped, split_paths, text_column
from .walk import CONVERTED, DEAD_LINK, UNREADABLE, walk_sources
from .zip_index import ENCRYPTED, ZipEntry, ZipIndexError, entry_fault, may_be_faulty, read_zip_chunks

__all__ = ["Archive", "Note", "SourceIndex", "find_sources"]

LABEL, IMAGE, ZIP, ARCHIVE, OTHER = range(5)
KINDS = {  # by the name's ending
    "json": LABEL,
    **dict.fromkeys(("jpg", "jpeg", "png"), IMAGE),
    "zip": ZIP,
    **dict.fromkeys(("tar", "tgz", "gz", "7z", "rar", "alz", "egg"), ARCHIVE),  # AI Hub's own shell downloads a tar
}
SPLITS = {
    **dict.fromkeys(("training", "train"), "train"),
    **dict.fromkeys(("validation", "val", "valid"), "val"),
}
MAX_LABEL_BYTES = 16 << 20  # an annotation has 3 KB
MAX_IMAGE_BYTES = 256 << 20
NOTES = 1 << 16  # that are made at a time


class Archive(NamedTuple):
    """
    A zip archive is known by its path relative to the data's root, and by its size and time when its contents were
    read.
    """

    path: str
    size: int
    mtime_ns: int

    def entry_name(self, path: str) -> str:
        """Return the name in the archive of a path that :attr:`prefix` begins."""
        return path[len(self.prefix) :]

    @property
    def prefix(self) -> str:
        """Return what the paths of the archive's entries begin with, in tables of files and in problems."""
        return f"{self.path}/"


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
    """

    archives: list[Archive]
    splits: dict[str, tuple[np.ndarray, np.ndarray]]
    labels: FileColumns
    images: FileColumns
    num_images: dict[str, int]
    unused: tuple[np.ndarray, np.ndarray]
    _notes: list[Note]

    def __len__(self) -> int:
        return len(self.labels)

    def notes(self) -> Iterator[Note]:
        """Yield notes of archives, entries and images that no annotation uses; there may be a million."""
        yield from self._notes
        reasons = "image without annotation", "annotation has another image of this name"
        for start in range(0, len(self.unused[0]), NOTES):
            rows, is_second = (column[start : start + NOTES] for column in self.unused)
            paths, folders = self.images.take(rows).paths, self.images.folder_ids[rows].tolist()
            for path, folder, second in zip(paths, folders, is_second.tolist(), strict=True):
                yield Note(self.images.folders[folder].split, path, reasons[second], "images")

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


def find_sources(root: Path, default_split: str | None = None) -> SourceIndex:
    """
    Walk once over the tree and the archives' tables of contents. An annotation's image has its file's stem; of several,
    the one in the folder of the same name (the style), and of those the first.

    Args:
        root: the data's folder.
        default_split: of files under no folder named Training, Validation, train or val; None: by the root's own name,
            or "train".

    Raises:
        FileNotFoundError: no such folder, or not one JSON file in it.
        ValueError: the folder is a converted store.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder that holds Training and Validation")
    default_split = default_split or _split_named(root.name) or "train"
    builders = FileColumnsBuilder(), FileColumnsBuilder()
    archives: list[Archive] = []
    notes: list[Note] = []
    for folder, names, faults in walk_sources(root):
        folder_info = _folder_of(folder, default_split)
        notes += [Note(folder_info.split, *fault) for fault in faults]
        file_paths: tuple[list[str], list[str]] = [], []
        for name in names:
            path = f"{folder}/{name}" if folder else name
            suffix = name.rpartition(".")[2]
            kind = _kind_of(suffix) if len(suffix) < len(name) else OTHER
            if kind in (LABEL, IMAGE):
                file_paths[kind].append(path)
            elif kind == ZIP:
                _read_archive(root, path, default_split, archives, builders, notes)
            elif ".zip.part" in name.lower():
                notes.append(Note(folder_info.split, path, "part of an archive: join the parts first", "archives"))
            elif kind == ARCHIVE:
                notes.append(Note(folder_info.split, path, "archive of a kind that is not read: unpack it", "archives"))
        for builder, listed in zip(builders, file_paths, strict=True):
            paths, not_unicode = text_column(listed)
            path_faults = dict.fromkeys(not_unicode, "file name is not Unicode")
            builder.extend(
                paths, split_paths(paths).names, np.full(len(paths), builder.folder_id(folder_info)), faults=path_faults
            )
    labels, images = builders
    if not len(labels):
        _refuse_without_labels(root, notes)
    label_columns, image_columns = labels.finish(), images.finish()
    splits, num_images, unused = join_images(label_columns, image_columns)
    return SourceIndex(archives, splits, label_columns, image_columns, num_images, unused, notes)


def _refuse_without_labels(root: Path, notes: list[Note]) -> NoReturn:
    stores = [note.path for note in notes if note.reason == CONVERTED]
    if stores:
        name = f"{root} is" if stores == ["."] else f"{root} holds nothing but {', '.join(stores)}, which is"
        raise ValueError(f"{name} a converted store: give the folder of the annotations that it was made from")
    missing = "; ".join(f"{note.path}: {note.reason}" for note in notes if note.hides_data)
    raise FileNotFoundError(
        f"no .json annotation under {root}; give the folder that holds Training and Validation"
        + (f" ({missing})" if missing else "")
    )


def _read_archive(
    root: Path,
    path: str,
    default_split: str,
    archives: list[Archive],
    builders: tuple[FileColumnsBuilder, FileColumnsBuilder],
    notes: list[Note],
) -> None:
    split = _folder_of(path, default_split).split
    number = len(archives)
    try:
        path.encode()
        stat = os.stat(root / path)
        chunks = list(read_zip_chunks(root / path))
    except UnicodeEncodeError:
        notes.append(Note(split, escaped(path), "archive unreadable: its path is not Unicode", "archives"))
        return
    except (ZipIndexError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        notes.append(Note(split, path, f"archive unreadable: {reason}", "archives"))
        return
    archives.append(archive := Archive(path, stat.st_size, stat.st_mtime_ns))
    while chunks:
        _add_entries(archive, number, *chunks.pop(0), default_split, builders, notes)


def _add_entries(
    archive: Archive,
    number: int,
    names: pa.LargeStringArray,
    table: np.ndarray,
    default_split: str,
    builders: tuple[FileColumnsBuilder, FileColumnsBuilder],
    notes: list[Note],
) -> None:
    """
    Add some entries of an archive to the tables, and note those that must not be read.

    Args:
        number: of the archive.
        names, table: some of its entries, as of :func:`read_zip_chunks`.
    """
    folders, stems, suffixes = split_paths(names)
    folders, suffixes = folders.dictionary_encode(), suffixes.dictionary_encode()
    in_folder = folders.indices.to_numpy()
    known = [_folder_of(f"{archive.prefix}{folder}", default_split) for folder in folders.dictionary.to_pylist()]
    kinds = np.array([_kind_of(suffix) for suffix in suffixes.dictionary.to_pylist()], dtype=np.int64)
    kinds = kinds[suffixes.indices.to_numpy()]
    kinds[pc.starts_with(stems, "._").to_numpy(zero_copy_only=False)] = OTHER  # what macOS puts beside a file
    before, between = (pa.scalar(text, pa.large_string()) for text in (archive.prefix, ""))
    paths = pc.binary_join_element_wise(before, names, between)
    split = _folder_of(archive.path, default_split).split
    for row in np.flatnonzero((kinds == ZIP) | (kinds == ARCHIVE)).tolist():
        notes.append(Note(split, paths[row].as_py(), "archive inside an archive, left alone", "archives"))
    faults = _faults(names, table, kinds)
    for row, fault in faults.items():
        if kinds[row] == IMAGE:
            kinds[row] = OTHER
            notes.append(Note(known[in_folder[row]].split, paths[row].as_py(), fault, "images"))
    for kind, builder in zip((LABEL, IMAGE), builders, strict=True):
        rows = np.flatnonzero(kinds == kind)
        numbers = np.roll(table[rows], 1, axis=1)  # the flags give way to the archive's number
        numbers[:, 0] = number
        folder_ids = np.array([builder.folder_id(folder) for folder in known], dtype=np.int64)[in_folder[rows]]
        kept_faults = {i: faults[row] for i, row in enumerate(rows.tolist()) if row in faults} if faults else {}
        taken = pa.array(rows)
        builder.extend(paths.take(taken), stems.take(taken), folder_ids, numbers, kept_faults)


def _kind_of(suffix: str) -> int:
    return KINDS.get(suffix.lower(), OTHER)


def _faults(names: pa.LargeStringArray, table: np.ndarray, kinds: np.ndarray) -> dict[int, str]:
    """Return row -> why the annotation or image must not be read."""
    faults = {}
    may_be = may_be_faulty(names, table, min(MAX_LABEL_BYTES, MAX_IMAGE_BYTES)) & (kinds < ZIP)
    for row in np.flatnonzero(may_be).tolist():
        offset, compressed_size, size, method, crc, flags = table[row].tolist()
        entry = ZipEntry(names[row].as_py(), offset, compressed_size, size, method, crc, bool(flags & ENCRYPTED))
        if fault := entry_fault(entry, MAX_LABEL_BYTES if kinds[row] == LABEL else MAX_IMAGE_BYTES):
            faults[row] = fault
    return faults


def _folder_of(folder: str, default_split: str) -> Folder:
    """Tell a folder's split by the nearest folder or archive whose name says it, and its style by its own name."""
    names = folder.split("/")
    split = next(filter(None, map(_split_named, reversed(names))), None)
    return Folder(split or default_split, normalize_text(names[-1]), split is not None)


def _split_named(name: str) -> str | None:
    """Return the split that a name says. AI Hub numbers the folders of some releases: "1.Training"."""
    return SPLITS.get(normalize_text(name.removesuffix(".zip")).lstrip("0123456789.-_ "))
