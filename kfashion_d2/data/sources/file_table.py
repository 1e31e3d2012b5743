"""This module says where millions of files are, as columns: in folders and in zip archives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .paths import composed
from .split_names import SplitDecision

__all__ = ["MAX_IMAGE_BYTES", "MAX_LABEL_BYTES", "Archive", "FileColumns", "FileColumnsBuilder", "FileTable", "Folder"]

PLAIN = (-1, 0, 0, 0, 0, 0)
MAX_LABEL_BYTES = 16 << 20  # an annotation has 3 KB
MAX_IMAGE_BYTES = 256 << 20


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


@dataclass
class FileTable:
    """
    This table says where the N files of a shard are.

    Attributes:
        column: large_string (N,): relative to the data's root; inside an archive `<archive>/<entry>`; empty for a file
            that there is not.
        numbers: int64 (N, 6): the archive's number (-1: a plain file), and of its entry the local header's offset,
            compressed size, size, method and CRC-32.
        faults: row -> why it must not be read.
    """

    column: pa.LargeStringArray
    numbers: np.ndarray
    faults: dict[int, str]

    @cached_property
    def paths(self) -> list[str]:
        """Return the paths as texts, made where they are needed: on the way to a worker a column is cheaper."""
        return self.column.to_pylist()

    def __len__(self) -> int:
        return len(self.column)


class Folder(NamedTuple):
    """
    A folder's name may tell the style of the images in it, and the names on its path the split.

    Attributes:
        style: its own name, folded.
        decision: which split its files belong to, and why.
        misleading: paths of the folders and archives on its path whose names look like a split's and say none.
    """

    style: str
    decision: SplitDecision
    misleading: tuple[str, ...] = ()

    @property
    def split(self) -> str:
        return self.decision.split


@dataclass
class FileColumns:
    """
    These columns describe all files found, before they are cut into shards.

    Attributes:
        paths: large_string (N,).
        stems: large_string (N,), see :func:`stem_of`.
        folder_ids: int32 (N,), each file's position in `folders`.
        numbers, faults: as of :class:`FileTable`.
    """

    paths: pa.LargeStringArray
    stems: pa.LargeStringArray
    folder_ids: np.ndarray
    folders: list[Folder]
    numbers: np.ndarray
    faults: dict[int, str]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: np.ndarray) -> FileTable:
        """Cut out the table of some rows; -1 gives an empty path."""
        numbers = self.numbers[rows] if len(self) else np.zeros((len(rows), 6), dtype=np.int64)
        numbers[rows < 0] = PLAIN
        column = pc.fill_null(self.paths.take(pa.array(rows, mask=rows < 0)), "")
        refused = enumerate(rows.tolist()) if self.faults else ()
        return FileTable(column, numbers, {i: self.faults[row] for i, row in refused if row in self.faults})

    def take_one(self, row: int) -> FileTable:
        return self.take(np.array([row]))


class FileColumnsBuilder:
    """This builder collects the columns while the files are found."""

    def __init__(self) -> None:
        self._count = 0
        self._chunks: list[tuple[pa.Array, pa.Array, np.ndarray, np.ndarray]] = []
        self._folders: dict[Folder, int] = {}
        self._faults: dict[int, str] = {}

    def folder_id(self, folder: Folder) -> int:
        return self._folders.setdefault(folder, len(self._folders))

    def extend(
        self,
        paths: pa.LargeStringArray,
        names: pa.LargeStringArray,
        folder_ids: np.ndarray,
        numbers: np.ndarray | None = None,
        faults: Mapping[int, str] | None = None,
    ) -> None:
        """
        Add n files.

        Args:
            paths: n of them.
            names: of each, as of :func:`split_paths`.
            folder_ids: int (n,): of each, as of :meth:`folder_id`.
            numbers: int64 (n, 6), as of :class:`FileTable`; None: they are plain files.
            faults: position among them -> why it must not be read.
        """
        if numbers is None:
            numbers = np.tile(np.array(PLAIN), (len(paths), 1))
        self._faults.update({self._count + i: fault for i, fault in (faults or {}).items()})
        self._chunks.append((paths, composed(names), folder_ids.astype(np.int32), numbers))
        self._count += len(paths)

    def __len__(self) -> int:
        return self._count

    def finish(self) -> FileColumns:
        nothing = pa.array([], pa.large_string())
        self.extend(nothing, nothing, np.empty(0))
        paths, stems, folder_ids, numbers = zip(*self._chunks, strict=True)
        return FileColumns(
            pa.concat_arrays(paths),
            pa.concat_arrays(stems),
            np.concatenate(folder_ids),
            list(self._folders),
            np.concatenate(numbers),
            self._faults,
        )
