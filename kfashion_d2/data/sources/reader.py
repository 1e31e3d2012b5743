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
from typing import Any, NamedTuple

import orjson

from ..store.zip_reader import ZipEntryError, read_at
from .file_table import MAX_LABEL_BYTES, Archive, FileTable
from .json_faults import describe_json_fault

__all__ = ["Label", "SourceReader", "UnreadableError", "file_stamp"]

ORIENTATION = 0x0112  # the EXIF tag; from 5 on the picture lies on its side


class UnreadableError(Exception):
    """
    An annotation or image cannot be read.

    Attributes:
        reason, value: for the :class:`Problem`.
    """

    def __init__(self, reason: str, value: Any = None):
        self.reason, self.value = reason, value


class Label(NamedTuple):
    """
    A label is an annotation as it was read.

    Attributes:
        data: the file's content, UTF-8 unless it is another of JSON's own encodings.
        obj: its JSON value.
        is_strict: whether orjson read it: then it holds no NaN and no infinity.
        is_cp949: whether it was in the encoding of Korean Windows.
    """

    data: bytes
    obj: Any
    is_strict: bool
    is_cp949: bool = False


def file_stamp(stat: os.stat_result | None) -> bytes:
    """
    Return what changes when a file's content does, as far as that can be told without reading it; None: there is no
    file.
    """
    return b"%d %d " % (stat.st_size, stat.st_mtime_ns) if stat else b"none"


class SourceReader:
    """
    This object reads annotations and images in one process; it keeps every archive that it read from open.

    Attributes:
        stamps: label file outside of archives -> its :func:`file_stamp` when it was read; for the caller to clear.
    """

    def __init__(self, root: Path, archives: list[Archive]):
        self._root, self._archives = root, archives
        self.stamps: dict[str, bytes] = {}

    @cached_property
    def _files(self) -> dict[int, int]:
        return {}

    def read_label(self, labels: FileTable, row: int) -> Label:
        """
        Read an annotation.

        Raises:
            UnreadableError: it is damaged, is not to be read, or is no JSON.
        """
        data = self._read(labels, row)
        try:
            return Label(data, orjson.loads(data), True)
        except orjson.JSONDecodeError:
            # Python's parser takes NaN, Infinity, a byte order mark and lone surrogates, which orjson refuses.
            try:
                return Label(data, json.loads(data), False)
            except (ValueError, RecursionError) as error:
                return _read_as_korean(data, error)

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
        Look for a fault in an image, as training would meet it.

        Args:
            size: width and height as the annotation states them.

        Returns:
            Why the image is not to be used, or "".
        """
        read_size = self.image_size(images, row, is_whole=True)
        return "image broken" if read_size is None else "" if read_size == size else "image of another size"

    def image_size(self, images: FileTable, row: int, is_whole: bool = False) -> tuple[int, int] | None:
        """
        Read an image's width and height, as training sees them: turned as its EXIF orientation says.

        Args:
            is_whole: decode it, to see whether it is whole; else its header alone is read.

        Returns:
            None: it cannot be read.
        """
        from PIL import Image

        number, offset, compressed_size, entry_size, method, _ = images.numbers[row].tolist()
        path = f"{self._root}/{images.paths[row]}"
        try:
            source: Any = path
            if number >= 0:
                source = io.BytesIO(read_at(self._open(number), offset, compressed_size, entry_size, method, path))
            with Image.open(source) as image:
                if is_whole:
                    image.load()
                width, height = image.size
                is_turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None
        return (height, width) if is_turned else (width, height)


def _read_as_korean(data: bytes, error: Exception) -> Label:
    """Read JSON in the encoding of Korean Windows, or say what is wrong with it."""
    if isinstance(error, UnicodeDecodeError):
        try:
            text = data.decode("cp949")
            if "이미지" in text:
                return Label(text.encode(), json.loads(text), False, is_cp949=True)
        except (ValueError, RecursionError) as korean_error:
            error = error if isinstance(korean_error, UnicodeDecodeError) else korean_error
    raise UnreadableError("not JSON", describe_json_fault(error)) from None
