"""This module reads one entry of a zip archive with one read, and makes the URI that says where it is."""

from __future__ import annotations

import os
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "PREFIX",
    "EntryLocation",
    "ZipChangedError",
    "ZipEntryError",
    "parse_zip_uri",
    "read_image_bytes",
    "read_zip_uri",
    "zip_uri",
]

PREFIX = "kfashion-zip://"
_LOCAL = struct.Struct("<4s22x2H")
# The name and extra field before an entry's bytes, whose size only the local header tells. Longer: one more read.
_SLACK = 256
MAX_OPEN = 64  # archives; AI Hub has eight


class ZipEntryError(OSError):
    """An entry's bytes are not what the archive says."""


class ZipChangedError(ValueError):
    """An archive is not the one that was converted. (No OSError: it is not one broken image, but all of them.)"""


class EntryLocation(NamedTuple):
    """
    This says where an entry's bytes are.

    Attributes:
        offset: of its local header.
        compressed_size, size: in bytes.
        method: 0 stored, 8 deflated.
        zip_size, zip_mtime_ns: of the archive, when it was converted.
    """

    offset: int
    compressed_size: int
    size: int
    method: int
    zip_size: int
    zip_mtime_ns: int


def zip_uri(path: str, name: str, location: EntryLocation | tuple[int, ...]) -> str:
    """
    Make ``kfashion-zip://<six numbers>/abs/archive.zip!/folder/1.jpg``: it holds all that a reader needs, in any
    process, and ends like the file's name.

    Args:
        path: of the archive, absolute.
        name: of the entry.
    """
    return f"{PREFIX}{'-'.join(map(str, location))}{path}!/{name}"


def parse_zip_uri(uri: str) -> tuple[str, str, EntryLocation]:
    """
    Take a URI of :func:`zip_uri` apart.

    Returns:
        The archive's path, the entry's name, and its place.

    Raises:
        ValueError: it is no such URI.
    """
    numbers, slash, rest = uri.removeprefix(PREFIX).partition("/")
    path, mark, name = rest.rpartition(".zip!/") if ".zip!/" in rest else rest.rpartition("!/")
    values = numbers.split("-")
    if not uri.startswith(PREFIX) or not mark or len(values) != 6 or not all(value.isdecimal() for value in values):
        raise ValueError(f"{uri!r} is not a {PREFIX} URI of a converted store")
    return slash + path + mark.removesuffix("!/"), name, EntryLocation(*map(int, values))


class _OpenFile:
    def __init__(self, path: str):
        self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        stat = os.fstat(self.fd)
        self.size, self.mtime_ns = stat.st_size, stat.st_mtime_ns

    def is_as_at(self, location: EntryLocation) -> bool:
        return (self.size, self.mtime_ns) == (location.zip_size, location.zip_mtime_ns)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


@lru_cache(maxsize=MAX_OPEN)
def _open(path: str) -> _OpenFile:
    # pread leaves the file's position alone: a descriptor may be shared with forked workers.
    return _OpenFile(path)


def close_archives() -> None:
    """Close the archives that this process keeps open; the next read opens its own again."""
    _open.cache_clear()


def read_entry(path: str, location: EntryLocation) -> bytes:
    """
    Read an entry's content.

    Raises:
        ZipChangedError: the archive's size or time is not that of the conversion.
        ZipEntryError: its bytes are damaged, or more than declared.
        OSError: the archive cannot be read.
    """
    file = _open(path)
    if not file.is_as_at(location):  # it may be an older file of this name that is still open
        close_archives()
        file = _open(path)
    if not file.is_as_at(location):
        raise ZipChangedError(
            f"{path} changed since the conversion: it had {location.zip_size} bytes and now has {file.size}, modified "
            f"{location.zip_mtime_ns} and now {file.mtime_ns} (ns). Convert the data again"
        )
    return read_at(file.fd, location.offset, location.compressed_size, location.size, location.method, path)


def read_at(fd: int, offset: int, compressed_size: int, size: int, method: int, where: str) -> bytes:
    """Read an entry as :func:`read_entry` does, from an open file; `where` is for the message."""
    data = os.pread(fd, _LOCAL.size + _SLACK + compressed_size, offset)
    if len(data) < _LOCAL.size or data[:4] != b"PK\3\4":
        raise ZipEntryError(f"{where}: no zip entry at byte {offset}")
    _, name_size, extra_size = _LOCAL.unpack_from(data)
    start = _LOCAL.size + name_size + extra_size
    end = start + compressed_size
    data = data[start:end] if end <= len(data) else os.pread(fd, compressed_size, offset + start)
    if method:
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than declared is enough to tell that it lies.
            data = decoder.decompress(data, size + 1)
        except zlib.error as error:
            raise ZipEntryError(f"{where}: the zip entry at byte {offset} is damaged: {error}") from None
    if len(data) != size:
        raise ZipEntryError(f"{where}: the zip entry at byte {offset} is not of the {size} bytes that it declares")
    return data


def read_zip_uri(uri: str) -> bytes:
    """Read the content of what :func:`zip_uri` names; raises as :func:`parse_zip_uri` and :func:`read_entry` say."""
    path, _, location = parse_zip_uri(uri)
    return read_entry(path, location)


def read_image_bytes(file_name: str) -> bytes:
    """Read the content of a dataset dict's `file_name`, a path or a location in a zip archive."""
    return read_zip_uri(file_name) if file_name.startswith(PREFIX) else Path(file_name).read_bytes()
