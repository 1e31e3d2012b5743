"""Find the annotations and images under a folder, in files and in zip archives, whatever the layout, and join them."""

from __future__ import annotations

import os
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..schema import normalize_text
from .zip_index import ZipEntry, ZipIndexError, entry_fault, read_zip_index

__all__ = ["Archive", "Places", "SourceIndex", "find_sources"]

IMAGE_SUFFIXES = ("jpg", "jpeg", "png")
OTHER_ARCHIVES = ("tar", "tgz", "gz", "7z", "rar", "alz", "egg")  # a download of AI Hub's own shell comes as a tar
SPLITS = {
    **dict.fromkeys(("training", "train"), "train"),
    **dict.fromkeys(("validation", "val", "valid"), "val"),
}
MAX_LABEL_BYTES = 16 << 20  # an annotation has 3 KB
MAX_IMAGE_BYTES = 256 << 20
NO_ID = np.iinfo(np.int64).max


class Archive(NamedTuple):
    """A zip archive: its path relative to the data's root, and what it was like when its contents were read."""

    path: str
    size: int
    mtime_ns: int


@dataclass
class Places:
    """
    Where N files are, as columns.

    Attributes:
        paths: relative to the data's root; inside an archive `<archive>/<entry>`.
        numbers: int64 (N, 6): the archive's number (-1: a plain file), and of its entry the local header's offset,
            compressed size, size, method and CRC-32.
        faults: row -> why it must not be read.
    """

    paths: list[str] = field(default_factory=list)
    numbers: np.ndarray = field(default_factory=lambda: np.empty((0, 6), dtype=np.int64))
    faults: dict[int, str] = field(default_factory=dict)

    def take(self, rows: Sequence[int]) -> Places:
        """Rows of it; -1 gives an empty path."""
        picked = np.asarray(rows, dtype=np.int64)
        numbers = self.numbers[picked] if len(self.paths) else np.zeros((len(picked), 6), dtype=np.int64)
        numbers[picked < 0] = (-1, 0, 0, 0, 0, 0)
        paths = [self.paths[row] if row >= 0 else "" for row in picked.tolist()]
        return Places(paths, numbers, {i: self.faults[row] for i, row in enumerate(rows) if row in self.faults})


class _Builder:
    """Places while they are found."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.numbers = array("q")
        self.faults: dict[int, str] = {}
        self.folders: list[_Folder] = []  # of each path

    def add(self, path: str, folder: _Folder, numbers: tuple[int, ...] = (-1, 0, 0, 0, 0, 0), fault: str = "") -> None:
        try:
            path.encode()
        except UnicodeEncodeError:
            path, fault = path.encode("utf-8", "backslashreplace").decode(), "file name is not Unicode"
        if fault:
            self.faults[len(self.paths)] = fault
        self.paths.append(path)
        self.numbers.extend(numbers)
        self.folders.append(folder)

    def finish(self) -> Places:
        return Places(self.paths, np.frombuffer(self.numbers, dtype=np.int64).reshape(-1, 6), self.faults)


class _Folder(NamedTuple):
    split: str
    style: str
    is_named: bool  # by a folder; else the split is the default


class Note(NamedTuple):
    """Something found on the way that is no annotation: (split, path, reason, of what)."""

    split: str
    path: str
    reason: str
    of: str


@dataclass
class SourceIndex:
    """
    What there is, and which image is whose.

    Attributes:
        archives: the zip archives read from.
        splits: split -> (rows of `labels`, rows of `images`; -1 where an annotation has none), in the order of
            conversion: by id (the stem as a number where it is one), then by path.
        labels, images: all of them, in the order of finding.
        num_images: split -> images found.
        notes: archives, entries and images that no annotation uses.
    """

    archives: list[Archive]
    splits: dict[str, tuple[np.ndarray, np.ndarray]]
    labels: Places
    images: Places
    num_images: dict[str, int]
    notes: list[Note]

    def __len__(self) -> int:
        return len(self.labels.paths)

    def describe(self) -> str:
        """For people: what was found, a line for each place."""
        lines = []
        for split, (rows, images) in sorted(self.splits.items()):
            lines.append(f"{split}: {len(rows):,} annotations, {int((images >= 0).sum()):,} of them with an image")
            for kind, places, used in (
                ("annotations", self.labels, rows),
                ("images", self.images, images[images >= 0]),
            ):
                where = Counter(places.numbers[used, 0].tolist()) if len(used) else Counter()
                for number, count in sorted(where.items()):
                    name = "files" if number < 0 else self.archives[number].path
                    lines.append(f"  {count:>9,} {kind} in {name}")
        for of, count in sorted(Counter(f"{note.of}: {note.reason}" for note in self.notes).items()):
            lines.append(f"{count:,} {of}")
        return "\n".join(lines)


def find_sources(root: Path, default_split: str | None = None, skip: Path | None = None) -> SourceIndex:
    """
    One walk over the tree and the archives' tables of contents. An annotation's image has its file's stem; of several,
    the one in the folder of the same name (the style), and of those the first.

    Args:
        root: the data's folder.
        default_split: of files under no folder named Training, Validation, train or val; None: by the root's own name,
            or "train".
        skip: a folder to leave out (the output, when it lies inside the data).

    Raises:
        FileNotFoundError: no such folder, or not one JSON file in it.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; give the folder that holds Training and Validation")
    default_split = default_split or _split_named(root.name) or "train"
    labels, images, archives, notes = _Builder(), _Builder(), [], []
    for folder, names in _walk(root, skip):
        place = _folder_of(folder, default_split)
        for name in names:
            path = f"{folder}/{name}" if folder else name
            suffix = name.rpartition(".")[2].lower()
            if suffix == "json":
                labels.add(path, place)
            elif suffix in IMAGE_SUFFIXES:
                images.add(path, place)
            elif suffix == "zip":
                _read_archive(root, path, default_split, archives, labels, images, notes)
            elif ".zip.part" in name.lower():
                notes.append(Note(place.split, path, "part of an archive: join the parts first", "archives"))
            elif suffix in OTHER_ARCHIVES:
                notes.append(Note(place.split, path, "archive of a kind that is not read: unpack it", "archives"))
    if not labels.paths:
        broken = "; ".join(f"{note.path}: {note.reason}" for note in notes if note.of == "archives")
        raise FileNotFoundError(
            f"no .json annotation under {root}; give the folder that holds Training and Validation"
            + (f" ({broken})" if broken else "")
        )
    return _join(labels, images, archives, notes)


def _walk(root: Path, skip: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Each folder, relative to the root, with its files, in a fixed order."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):  # splits on several disks are linked together
        stat = os.stat(folder)
        if (stat.st_dev, stat.st_ino) in seen:  # a link back, or a folder reached twice
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        if skip is not None:
            folders[:] = [name for name in folders if Path(folder, name) != skip]
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        yield "" if relative == "." else relative, sorted(name for name in files if not name.startswith("._"))


def _read_archive(
    root: Path, path: str, default_split: str, archives: list[Archive], labels: _Builder, images: _Builder, notes: list
) -> None:
    split = _folder_of(path, default_split).split
    number, folders = len(archives), {}
    entries: Iterable[ZipEntry]
    try:
        stat = os.stat(root / path)
        entries = list(read_zip_index(root / path))
    except (ZipIndexError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        notes.append(Note(split, path, f"archive unreadable: {reason}", "archives"))
        return
    archives.append(Archive(path, stat.st_size, stat.st_mtime_ns))
    for entry in entries:
        folder, _, name = entry.name.rpartition("/")
        suffix = name.rpartition(".")[2].lower()
        is_label = suffix == "json"
        if (not is_label and suffix not in IMAGE_SUFFIXES) or name.startswith("._"):
            if suffix == "zip" or suffix in OTHER_ARCHIVES:
                notes.append(Note(split, f"{path}/{entry.name}", "archive inside an archive, left alone", "archives"))
            continue
        fault = entry_fault(entry, MAX_LABEL_BYTES if is_label else MAX_IMAGE_BYTES)
        place = folders.get(folder)
        if place is None:
            place = folders[folder] = _folder_of(f"{path}/{folder}", default_split)
        if fault and not is_label:
            notes.append(Note(place.split, f"{path}/{entry.name}", fault, "images"))
            continue
        # A size beyond int64, as only a damaged Zip64 entry declares, has a fault above.
        numbers = (number, entry.offset, entry.compressed_size, min(entry.size, NO_ID), entry.method, entry.crc)
        (labels if is_label else images).add(f"{path}/{entry.name}", place, numbers, fault)


def _join(labels: _Builder, images: _Builder, archives: list[Archive], notes: list[Note]) -> SourceIndex:
    by_stem: dict[str, dict[str, int | list[int]]] = defaultdict(dict)
    num_images: dict[str, int] = defaultdict(int)
    for row, (path, folder) in enumerate(zip(images.paths, images.folders, strict=True)):
        num_images[folder.split] += 1
        # One folder of images may serve all splits.
        stems, stem = by_stem[folder.split if folder.is_named else ""], stem_of(path)
        other = stems.setdefault(stem, row)
        if other != row:
            stems[stem] = [*other, row] if isinstance(other, list) else [other, row]
    rows_of: dict[str, array] = defaultdict(lambda: array("q"))
    for row, folder in enumerate(labels.folders):
        rows_of[folder.split].append(row)
    splits, used = {}, np.zeros(len(images.paths), dtype=bool)
    for split, found in sorted(rows_of.items()):
        rows = _in_order(np.array(found), labels.paths)
        mine = np.full(len(rows), -1, dtype=np.int64)
        for i, row in enumerate(rows.tolist()):
            stem = stem_of(labels.paths[row])
            image = by_stem[split].get(stem)
            if image is None:
                image = by_stem[""].get(stem)
            if isinstance(image, list):
                style = labels.folders[row].style
                image = next((other for other in image if images.folders[other].style == style), image[0])
            if image is not None:
                mine[i] = image
        used[mine[mine >= 0]] = True
        splits[split] = (rows, mine)
    for row in np.flatnonzero(~used).tolist():
        folder = images.folders[row]
        same = by_stem[folder.split if folder.is_named else ""][stem_of(images.paths[row])]
        is_second = isinstance(same, list) and used[same].any()
        reason = "annotation has another image of this name" if is_second else "image without annotation"
        notes.append(Note(folder.split, images.paths[row], reason, "images"))
    return SourceIndex(archives, splits, labels.finish(), images.finish(), dict(num_images), notes)


def _in_order(rows: np.ndarray, paths: list[str]) -> np.ndarray:
    """By the stem as a number, then by path; stems that are none come last."""
    ids = np.fromiter((stem_id(stem_of(paths[row])) for row in rows.tolist()), dtype=np.int64, count=len(rows))
    order = np.argsort(ids, kind="stable")
    rows, ids = rows[order], ids[order]
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1], True])
    for start, end in zip(
        starts[:-1][np.diff(starts) > 1].tolist(), starts[1:][np.diff(starts) > 1].tolist(), strict=True
    ):
        rows[start:end] = sorted(rows[start:end].tolist(), key=lambda row: unicodedata.normalize("NFC", paths[row]))
    return rows


def stem_of(path: str) -> str:
    """The file's name without its ending, in Unicode's composed form."""
    stem = path[path.rfind("/") + 1 : path.rfind(".")]
    return stem if stem.isascii() else unicodedata.normalize("NFC", stem)


def stem_id(stem: str) -> int:
    """The stem as an image id, or NO_ID."""
    return int(stem) if stem.isdecimal() and len(stem) < 19 else NO_ID


def _folder_of(folder: str, default_split: str) -> _Folder:
    """The split by the nearest folder or archive whose name says it; the style's folder."""
    names = folder.split("/")
    split = next(filter(None, map(_split_named, reversed(names))), None)
    return _Folder(split or default_split, normalize_text(names[-1]), split is not None)


def _split_named(name: str) -> str | None:
    """AI Hub numbers the folders of some releases: "1.Training"."""
    return SPLITS.get(normalize_text(name.removesuffix(".zip")).lstrip("0123456789.-_ "))
