"""
The table of contents of a zip file, read from its end as columns of numbers: two million entries fit in memory, which
one object an entry would not. Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16 and 4.5.3 (Zip64).
"""

from __future__ import annotations

import os
import re
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["ZipEntry", "ZipIndexError", "entry_fault", "read_zip_index"]

STORED, DEFLATED = 0, 8
MAX_COMMENT = 0xFFFF
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
_SUSPICIOUS = re.compile(r"^[/\\]|\.\.|[:\0]")
_HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")  # composed or not
_ENCRYPTED, _UTF8 = 1 << 0, 1 << 11


class ZipIndexError(ValueError):
    """The file is no zip archive, or not a whole one."""


class ZipEntry(NamedTuple):
    """
    One file of an archive.

    Attributes:
        name: its path inside the archive.
        offset: of its local header, in bytes from the file's start.
        compressed_size, size: in bytes, as the archive declares them.
        method: 0 stored, 8 deflated.
        crc: CRC-32 of its content.
        encrypted: whether it needs a password.
    """

    name: str
    offset: int
    compressed_size: int
    size: int
    method: int
    crc: int
    encrypted: bool


def read_zip_index(path: str | Path) -> Iterator[ZipEntry]:
    """
    The entries of an archive, folders left out, in the order of its table of contents. A name without the UTF-8 flag
    is UTF-8 where it decodes as that, as of a tool that forgot the flag, else cp949, as of Korean Windows; where it
    decodes as both, whichever gives Hangul.

    Raises:
        ZipIndexError: it is not a zip archive, or a part of it is missing.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        count, start, length, shift = _find_directory(file, size)
        file.seek(start)
        directory = file.read(length)
    if len(directory) < length:
        raise ZipIndexError("its table of contents is cut off")
    yield from _entries(directory, count, start, shift)


def _find_directory(file, size: int) -> tuple[int, int, int, int]:
    """(entries, place, length in bytes, bytes before the archive's own start) of the table of contents."""
    tail_size = min(size, _END.size + MAX_COMMENT)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    ends = [found.start() for found in re.finditer(b"PK\5\6", tail) if found.start() + _END.size <= len(tail)]
    # The one whose comment ends the file; where something was put behind the archive, the last.
    whole = [at for at in ends if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail)]
    at = (whole or ends or [-1])[-1]
    if at < 0:
        raise ZipIndexError("it has no zip table of contents: it is cut off, or no zip file")
    _, disk, first_disk, _, count, length, start, _ = _END.unpack_from(tail, at)
    end = size - tail_size + at
    if _END64_LOCATOR.size <= end:
        file.seek(end - _END64_LOCATOR.size)
        signature, _, place, _ = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if signature == b"PK\6\7":
            file.seek(min(place, size))
            record = file.read(_END64.size)
            if len(record) < _END64.size or record[:4] != b"PK\6\6":
                raise ZipIndexError("its Zip64 table of contents is not where it should be: it is cut off")
            *_, disk, first_disk, _, count, length, start = _END64.unpack(record)
            end = place
    if disk or first_disk:
        raise ZipIndexError("it is one part of an archive in several: join the parts first")
    shift = end - length - start  # something stands before the archive, as in a self-extracting one
    if shift < 0 or length > size:
        raise ZipIndexError("its table of contents points outside the file: it is cut off")
    return count, start + shift, length, shift


def _entries(directory: bytes, count: int, start: int, shift: int) -> Iterator[ZipEntry]:
    at, unpack, end = 0, _ENTRY.unpack_from, len(directory)
    for _ in range(count):
        if at + _ENTRY.size > end:
            raise ZipIndexError("its table of contents has fewer entries than it says")
        signature, flags, method, crc, compressed, size, name_size, extra_size, comment_size, offset = unpack(
            directory, at
        )
        if signature != b"PK\1\2":
            raise ZipIndexError("its table of contents is damaged")
        at += _ENTRY.size
        raw = directory[at : at + name_size]
        extra_at = at + name_size
        at = extra_at + extra_size + comment_size
        if at > end:
            raise ZipIndexError("its table of contents is damaged")
        if 0xFFFFFFFF in (size, compressed, offset):
            size, compressed, offset = _zip64(directory[extra_at : extra_at + extra_size], size, compressed, offset)
        name = _decode(raw, bool(flags & _UTF8))
        if name.endswith("/"):
            continue
        if offset + shift + compressed > start:
            # It would read the table of contents as a file's bytes.
            raise ZipIndexError("an entry points outside the file")
        yield ZipEntry(name, offset + shift, compressed, size, method, crc, bool(flags & _ENCRYPTED))


def _zip64(extra: bytes, size: int, compressed: int, offset: int) -> tuple[int, int, int]:
    """The three numbers, those that do not fit 32 bits taken from the extra field, in its order."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            body = extra[at + 4 : at + 4 + length]
            large = iter(array("Q", body[: len(body) // 8 * 8]))
            try:
                size, compressed, offset = (
                    next(large) if value == 0xFFFFFFFF else value for value in (size, compressed, offset)
                )
            except (StopIteration, RuntimeError):
                raise ZipIndexError("its Zip64 numbers are missing") from None
            return size, compressed, offset
        at += 4 + length
    return size, compressed, offset  # exactly 4 GiB - 1, which needs no Zip64


def _decode(raw: bytes, is_utf8: bool) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8" if is_utf8 else "cp949", errors="replace")
    if is_utf8 or name.isascii() or _HANGUL.search(name):
        return name
    korean = raw.decode("cp949", errors="replace")  # 키치 in cp949 is UTF-8 too, of letters that nobody writes
    return korean if _HANGUL.search(korean) else name


def entry_fault(entry: ZipEntry, max_size: int) -> str:
    """
    Why an entry is not to be read, or "".

    Args:
        entry: of :func:`read_zip_index`.
        max_size: bytes; a larger entry is no annotation or photograph, but perhaps a bomb.
    """
    if entry.encrypted:
        return "zip entry encrypted"
    if entry.method not in (STORED, DEFLATED):
        return "zip entry of an unknown compression"
    if _SUSPICIOUS.search(entry.name):
        parts = entry.name.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or ":" in parts[0] or "\0" in entry.name:
            return "zip entry leaves the folder"
    if entry.size > max_size or entry.compressed_size > max_size:
        return "zip entry too large"
    if entry.method == STORED and entry.size != entry.compressed_size:
        return "zip entry of two sizes"
    return ""
