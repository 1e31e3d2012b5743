"""
This module finds the annotations and images under a folder, in files and in zip archives, whatever the layout, and
joins them.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...schema import normalize_text
from .file_table import MAX_IMAGE_BYTES, MAX_LABEL_BYTES, Archive, FileColumns, FileColumnsBuilder, Folder
from .image_choice import ImageChooser
from .image_join import join_images, splits_by_images
from .image_types import IMAGE_SUFFIXES, can_read
from .paths import escaped, label_stems, split_paths, text_column
from .source_index import MISLEADING, Note, SourceIndex, SplitRule
from .split_names import (
    BY_DATA_ROOT,
    BY_DEFAULT,
    BY_IMAGE,
    BY_OPTION,
    SplitDecision,
    decide_split,
    looks_like_split,
    split_named,
)
from .walk import CONVERTED, walk_sources
from .zip_index import ENCRYPTED, ZipEntry, ZipIndexError, entry_fault, may_be_faulty, read_zip_chunks

__all__ = ["find_sources"]

LABEL, IMAGE, ZIP, ARCHIVE, UNREAD_IMAGE, OTHER = range(6)
KINDS = {  # by the name's ending
    "json": LABEL,
    **dict.fromkeys(("jpg", "jpeg", "png"), IMAGE),  # of other kinds of images Pillow is asked
    "zip": ZIP,
    **dict.fromkeys(("tar", "tgz", "gz", "7z", "rar", "alz", "egg"), ARCHIVE),  # AI Hub's own shell downloads a tar
}
UNREAD = "image type that cannot be read here: convert it to .jpg"


def find_sources(root: Path, default_split: str | None = None) -> SourceIndex:
    """
    Walk once over the tree and the archives' tables of contents. An annotation's image has its file's stem; of several,
    :class:`ImageChooser` chooses one.

    Args:
        root: the data's folder.
        default_split: of files in no folder or archive whose name says the split; None: the split of the image's
            folder, or the one that the root's own name says, or "train".

    Raises:
        FileNotFoundError: no such folder, or not one JSON file in it.
        ValueError: the folder is a converted store.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder that holds Training and Validation")
    default = _default_split(root, default_split)
    builders = FileColumnsBuilder(), FileColumnsBuilder()
    archives: list[Archive] = []
    notes: list[Note] = []
    for folder, names, faults in walk_sources(root):
        folder_info = _folder_of(folder, default)
        notes += [Note(folder_info.split, *fault) for fault in faults]
        file_paths: tuple[list[str], list[str]] = [], []
        for name in names:
            path = f"{folder}/{name}" if folder else name
            suffix = name.rpartition(".")[2]
            kind = _kind_of(suffix) if len(suffix) < len(name) else OTHER
            if kind in (LABEL, IMAGE):
                file_paths[kind].append(path)
            elif kind == ZIP:
                _read_archive(root, path, default, archives, builders, notes)
            elif ".zip.part" in name.lower():
                notes.append(Note(folder_info.split, path, "part of an archive: join the parts first", "archives"))
            elif kind == ARCHIVE:
                notes.append(Note(folder_info.split, path, "archive of a kind that is not read: unpack it", "archives"))
            elif kind == UNREAD_IMAGE:
                notes.append(Note(folder_info.split, escaped(path), UNREAD, "images"))
        for kind, listed in zip((LABEL, IMAGE), file_paths, strict=True):
            paths, not_unicode = text_column(listed)
            path_faults = dict.fromkeys(not_unicode, "file name is not Unicode")
            stems = split_paths(paths).names
            folder_ids = np.full(len(paths), builders[kind].folder_id(folder_info))
            builders[kind].extend(paths, label_stems(stems) if kind == LABEL else stems, folder_ids, faults=path_faults)
    if not len(builders[LABEL]):
        _refuse_without_labels(root, notes)
    labels, images = builders[LABEL].finish(), builders[IMAGE].finish()
    if default_split is None:
        _take_splits_of_images(labels, images)
    label_splits = np.array([folder.split for folder in labels.folders], dtype=object)[labels.folder_ids]
    join = join_images(labels, images, label_splits, ImageChooser(root, archives, labels, images))
    notes += _misleading_names(labels, images)
    rules = _count_rules(labels)
    return SourceIndex(
        archives, join.splits, labels, images, join.num_images, join.unused, join.chosen, join.reused, rules, notes
    )


def _default_split(root: Path, given: str | None) -> SplitDecision:
    if given:
        return SplitDecision(given, BY_OPTION, "")
    split = split_named(root.name)
    return SplitDecision(split, BY_DATA_ROOT, root.name) if split else SplitDecision("train", BY_DEFAULT, "")


def _take_splits_of_images(labels: FileColumns, images: FileColumns) -> None:
    """Move annotations whose folder names no split to the split that their images' folders name."""
    rows, image_rows = splits_by_images(labels, images)
    folder_ids: dict[tuple[int, int], int] = {}
    for row, old, image_folder in zip(
        rows.tolist(), labels.folder_ids[rows].tolist(), images.folder_ids[image_rows].tolist(), strict=True
    ):
        if (old, image_folder) not in folder_ids:
            decision = images.folders[image_folder].decision._replace(rule=BY_IMAGE)
            folder_ids[old, image_folder] = len(labels.folders)
            labels.folders.append(labels.folders[old]._replace(decision=decision))
        labels.folder_ids[row] = folder_ids[old, image_folder]


def _misleading_names(labels: FileColumns, images: FileColumns) -> Iterator[Note]:
    """Yield a note of each folder or archive whose name looks like a split's and says none."""
    seen = set()
    for files in (labels, images):
        for folder in files.folders:
            for path in folder.misleading:
                if path not in seen:
                    seen.add(path)
                    yield Note(folder.split, escaped(path), MISLEADING, "folders", folder.split)


def _count_rules(labels: FileColumns) -> list[SplitRule]:
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    counts: Counter[tuple[str, str]] = Counter()
    numbers = np.bincount(labels.folder_ids, minlength=len(labels.folders)).tolist()
    for folder, number in zip(labels.folders, numbers, strict=True):
        if number:
            key = folder.split, folder.decision.rule
            names[key].update(filter(None, [folder.decision.name]))
            counts[key] += number
    return [SplitRule(*key, sorted(names[key]), counts[key]) for key in sorted(counts)]


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
    default: SplitDecision,
    archives: list[Archive],
    builders: tuple[FileColumnsBuilder, FileColumnsBuilder],
    notes: list[Note],
) -> None:
    split = _folder_of(path, default).split
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
        _add_entries(archive, number, *chunks.pop(0), default, builders, notes)


def _add_entries(
    archive: Archive,
    number: int,
    names: pa.LargeStringArray,
    table: np.ndarray,
    default: SplitDecision,
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
    known = [_folder_of(f"{archive.prefix}{folder}", default) for folder in folders.dictionary.to_pylist()]
    kinds = np.array([_kind_of(suffix) for suffix in suffixes.dictionary.to_pylist()], dtype=np.int64)
    kinds = kinds[suffixes.indices.to_numpy()]
    kinds[pc.starts_with(stems, "._").to_numpy(zero_copy_only=False)] = OTHER  # what macOS puts beside a file
    before, between = (pa.scalar(text, pa.large_string()) for text in (archive.prefix, ""))
    paths = pc.binary_join_element_wise(before, names, between)
    split = _folder_of(archive.path, default).split
    for row in np.flatnonzero((kinds == ZIP) | (kinds == ARCHIVE)).tolist():
        notes.append(Note(split, paths[row].as_py(), "archive inside an archive, left alone", "archives"))
    for row in np.flatnonzero(kinds == UNREAD_IMAGE).tolist():
        notes.append(Note(known[in_folder[row]].split, paths[row].as_py(), UNREAD, "images"))
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
        taken_stems = label_stems(stems.take(taken)) if kind == LABEL else stems.take(taken)
        builder.extend(paths.take(taken), taken_stems, folder_ids, numbers, kept_faults)


def _kind_of(suffix: str) -> int:
    suffix = suffix.lower()
    kind = KINDS.get(suffix, OTHER)
    if kind == OTHER and suffix in IMAGE_SUFFIXES:
        return IMAGE if can_read(suffix) else UNREAD_IMAGE
    return kind


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


def _folder_of(folder: str, default: SplitDecision) -> Folder:
    """Tell a folder's split by the names on its path, and its style by its own name."""
    names = folder.split("/")
    misleading = ["/".join(names[: i + 1]) for i, name in enumerate(names) if looks_like_split(name)]
    return Folder(normalize_text(names[-1]), decide_split(folder, default), tuple(misleading))
