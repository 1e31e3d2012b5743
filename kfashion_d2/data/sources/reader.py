"""
This module reads what :mod:`.discovery` found: an annotation as JSON, a photograph to see whether it is whole; in files
and archives.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from ..store.zip_reader import ZipEntryError, read_at
from .discovery import MAX_LABEL_BYTES, Archive
from .file_table import FileTable

__all__ = ["SourceReader", "UnreadableError", "file_stamp"]


class UnreadableError(Exception):
    """
    An annotation or image cannot be read.

    Attributes:
        reason, value: for the :class:`Problem`.
    """

    def __init__(self, reason: str, value: Any = None):
        self.reason, self.value = reason, value


def file_stamp(stat: os.stat_result | None) -> bytes:
    """
    Return what changes when a file's content does, as far as that can be told without reading it; None: there is no
    file.
    """
    return b"%d %d " % (stat.st_size, stat.st_mtime_ns) if stat else b"none"


class SourceReader:
    """
    This reader works in one process; it keeps every archive that it read from open.

    Attributes:
        stamps: label file outside of archives -> its :func:`file_stamp` when it was read; for the caller to clear.
    """

    def __init__(self, root: Path, archives: list[Archive]):
        self._root, self._archives = root, archives
        self.stamps: dict[str, bytes] = {}

    @cached_property
    def _files(self) -> dict[int, int]:
        return {}

    def read_label(self, labels: FileTable, row: int) -> tuple[bytes, Any, bool]:
        """
        Read an annotation.

        Returns:
            The file's content; its JSON value; and whether orjson read it: then it holds no NaN and no infinity.

        Raises:
            UnreadableError: it is damaged, is not to be read, or is no JSON.
        """
        data = self._read(labels, row)
        try:
            return data, orjson.loads(data), True
        except orjson.JSONDecodeError:
            # Python's parser takes NaN, Infinity, a byte order mark and lone surrogates, which orjson refuses.
            try:
                return data, json.loads(data), False
            except (ValueError, RecursionError):
                raise UnreadableError("not JSON") from None

    def _read(self, labels: FileTable, row: int) -> bytes:
        if row in labels.faults:
            raise UnreadableError(labels.faults[row])
        number, offset, compressed_size, size, method, crc = labels.numbers[row].tolist()
        try:
            if number < 0:
                return self._read_file(labels.paths[row])
            data = read_at(self._open(number), offset, compressed_size, size, method, "")
        except ZipEntryError as error:
            raise UnreadableError("zip entry damaged", str(error).rpartition("zip entry ")[2]) from None
        except OSError as error:
            raise UnreadableError("file unreadable", error.strerror) from None
        if zlib.crc32(data) != crc:
            raise UnreadableError("zip entry damaged", "checksum")
        return data

    def _read_file(self, path: str) -> bytes:
        fd = os.open(f"{self._root}/{path}", os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            stat = os.fstat(fd)
            self.stamps[path] = file_stamp(stat)
            size = stat.st_size
            if size > MAX_LABEL_BYTES:
                raise UnreadableError("file too large", size)
            data = os.read(fd, size + 1)
            while len(data) < size and (more := os.read(fd, size)):
                data += more
            return data
        finally:
            os.close(fd)

    def _open(self, number: int) -> int:
        if number not in self._files:
            self._files[number] = os.open(self._root / self._archives[number].path, os.O_RDONLY)
        return self._files[number]

    def image_fault(self, images: FileTable, row: int, size: tuple[int, int]) -> str:
        """
        Look for a fault in an image.

        Args:
            size: width and height as the annotation states them.

        Returns:
            Why the image is not to be used, or "".
        """
        from PIL import Image

        number, offset, compressed_size, entry_size, method, _ = images.numbers[row].tolist()
        path = f"{self._root}/{images.paths[row]}"
        try:
            source: Any = path
            if number >= 0:
                source = io.BytesIO(read_at(self._open(number), offset, compressed_size, entry_size, method, path))
            with Image.open(source) as image:
                image.load()
                stored_size = image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return "image broken"
        return "" if stored_size == size else "image of another size"
