"""Where millions of files are, as columns: in files and in zip archives."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["NO_ID", "Folder", "PlaceBuilder", "PlaceColumns", "Places", "stem_id", "stem_of"]

NO_ID = np.iinfo(np.int64).max
PLAIN = (-1, 0, 0, 0, 0, 0)


@dataclass
class Places:
    """
    Where the N files of a shard are.

    Attributes:
        paths: relative to the data's root; inside an archive `<archive>/<entry>`; empty for a file that there is not.
        numbers: int64 (N, 6): the archive's number (-1: a plain file), and of its entry the local header's offset,
            compressed size, size, method and CRC-32.
        faults: row -> why it must not be read.
    """

    paths: list[str] = field(default_factory=list)
    numbers: np.ndarray = field(default_factory=lambda: np.empty((0, 6), dtype=np.int64))
    faults: dict[int, str] = field(default_factory=dict)


class Folder(NamedTuple):
    split: str
    style: str
    is_named: bool  # by a folder; else the split is the default


@dataclass
class PlaceColumns:
    """
    The same of any number of files.

    Attributes:
        paths: large_string (N,).
        stems: large_string (N,), see :func:`stem_of`.
        folder_ids: int32 (N,), each file's place in `folders`.
        numbers, faults: as of :class:`Places`.
    """

    paths: pa.LargeStringArray
    stems: pa.LargeStringArray
    folder_ids: np.ndarray
    folders: list[Folder]
    numbers: np.ndarray
    faults: dict[int, str]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: np.ndarray) -> Places:
        """Some rows; -1 gives an empty path."""
        numbers = self.numbers[rows] if len(self) else np.zeros((len(rows), 6), dtype=np.int64)
        numbers[rows < 0] = PLAIN
        paths = pc.fill_null(self.paths.take(pa.array(rows, mask=rows < 0)), "").to_pylist()
        faults = {i: self.faults[row] for i, row in enumerate(rows.tolist()) if row in self.faults}
        return Places(paths, numbers, faults if self.faults else {})


class PlaceBuilder:
    """Columns while the files are found."""

    def __init__(self) -> None:
        self._count = 0
        self._chunks: list[tuple[pa.Array, pa.Array, np.ndarray, np.ndarray]] = []
        self._folders: dict[Folder, int] = {}
        self._faults: dict[int, str] = {}

    def folder_id(self, folder: Folder) -> int:
        return self._folders.setdefault(folder, len(self._folders))

    def extend(
        self,
        paths: list[str],
        folder_ids: Sequence[int],
        numbers: np.ndarray | None = None,
        faults: Mapping[int, str] | None = None,
    ) -> None:
        """
        Args:
            paths: n of them.
            folder_ids: of each, as of :meth:`folder_id`.
            numbers: int64 (n, 6), as of :class:`Places`; None: they are plain files.
            faults: place among them -> why it must not be read.
        """
        faults = dict(faults or {})
        try:
            column = pa.array(paths, pa.large_string())
        except UnicodeEncodeError:
            paths = paths.copy()
            for i, path in enumerate(paths):
                try:
                    path.encode()
                except UnicodeEncodeError:
                    paths[i] = path.encode("utf-8", "backslashreplace").decode()
                    faults[i] = "file name is not Unicode"
            column = pa.array(paths, pa.large_string())
        if numbers is None:
            numbers = np.tile(np.array(PLAIN), (len(paths), 1))
        self._faults.update({self._count + i: fault for i, fault in faults.items()})
        stems = pa.array(map(stem_of, paths), pa.large_string())
        self._chunks.append((column, stems, np.asarray(folder_ids, dtype=np.int32), numbers))
        self._count += len(paths)

    def __len__(self) -> int:
        return self._count

    def finish(self) -> PlaceColumns:
        self.extend([], [])
        paths, stems, folder_ids, numbers = zip(*self._chunks, strict=True)
        return PlaceColumns(
            pa.concat_arrays(paths),
            pa.concat_arrays(stems),
            np.concatenate(folder_ids),
            list(self._folders),
            np.concatenate(numbers),
            self._faults,
        )


def stem_of(path: str) -> str:
    """The file's name without its ending, in Unicode's composed form."""
    stem = path[path.rfind("/") + 1 : path.rfind(".")]
    return stem if stem.isascii() else unicodedata.normalize("NFC", stem)


def stem_id(stem: str) -> int:
    """The stem as an image id, or NO_ID."""
    return int(stem) if stem.isdecimal() and len(stem) < 19 else NO_ID
