"""
This module reads the table of contents of a zip file, from its end, as columns of numbers: two million entries fit in
memory, which one object an entry would not. Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16 and 4.5.3
(Zip64).
"""

from __future__ import annotations

import os
import re
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .paths import cut_texts

__all__ = ["ZipEntry", "ZipIndexError", "entry_fault", "may_be_faulty", "read_zip_chunks", "read_zip_index"]

STORED, DEFLATED = 0, 8
MAX_COMMENT = 0xFFFF
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_SIZES = struct.Struct("<4s24x3H")  # of a row: its signature, and how long its name, extra field and comment are
_ROW = np.dtype(
    {
        "names": ["flags", "method", "crc", "compressed_size", "size", "name_size", "extra_size", "offset"],
        "formats": ["<u2", "<u2", "<u4", "<u4", "<u4", "<u2", "<u2", "<u4"],
        "offsets": [8, 10, 16, 20, 24, 28, 30, 42],
        "itemsize": 46,
    }
)
_NUMBERS = ("offset", "compressed_size", "size", "method", "crc", "flags")
CHUNK = 1 << 16  # entries
NO_SIZE = np.iinfo(np.int64).max
_HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")  # composed or not
_SUSPICIOUS = r"^[/\\]|\.\.|[:\x00]"
ENCRYPTED, _UTF8 = 1 << 0, 1 << 11


class ZipIndexError(ValueError):
    """The file is no zip archive, or not a whole one."""


class ZipEntry(NamedTuple):
    """
    An entry is one file of an archive.

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
    List the entries of an archive, one object each; see :func:`read_zip_chunks`.

    Raises:
        ZipIndexError, OSError: as it says.
    """
    for names, numbers in read_zip_chunks(path):
        for name, (offset, compressed_size, size, method, crc, flags) in zip(
            names.to_pylist(), numbers.tolist(), strict=True
        ):
            yield ZipEntry(name, offset, compressed_size, size, method, crc, bool(flags & ENCRYPTED))


def read_zip_chunks(path: str | Path) -> Iterator[tuple[pa.LargeStringArray, np.ndarray]]:
    """
    Yield the entries of an archive in pieces, folders left out, in the order of its table of contents. A name without
    the UTF-8 flag is UTF-8 where it decodes as that, as of a tool that forgot the flag, else cp949, as of Korean
    Windows; where it decodes as both, whichever gives Hangul.

    Yields:
        names: n of them, at most CHUNK.
        numbers: int64 (n, 6): offset, compressed size, size, method and CRC-32 as in :class:`ZipEntry`, and the flags.

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
    at = 0
    while count > 0:
        rows, at = _find_rows(directory, at, min(count, CHUNK))
        count -= len(rows)
        yield _read_rows(directory, rows, start, shift)


def _find_directory(file, size: int) -> tuple[int, int, int, int]:
    """Find the table of contents: (entries, position, length in bytes, bytes before the archive's own start)."""
    tail_size = min(size, _END.size + MAX_COMMENT)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    ends = [match.start() for match in re.finditer(b"PK\5\6", tail) if match.start() + _END.size <= len(tail)]
    # The one whose comment ends the file; where something was put behind the archive, the last.
    whole = [at for at in ends if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail)]
    at = (whole or ends or [-1])[-1]
    if at < 0:
        raise ZipIndexError("it has no zip table of contents: it is cut off, or no zip file")
    _, disk, first_disk, _, count, length, start, _ = _END.unpack_from(tail, at)
    end = size - tail_size + at
    if _END64_LOCATOR.size <= end:
        file.seek(end - _END64_LOCATOR.size)
        signature, _, position, _ = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if signature == b"PK\6\7":
            file.seek(min(position, size))
            record = file.read(_END64.size)
            if len(record) < _END64.size or record[:4] != b"PK\6\6":
                raise ZipIndexError("its Zip64 table of contents is not where it should be: it is cut off")
            *_, disk, first_disk, _, count, length, start = _END64.unpack(record)
            end = position
    if disk or first_disk:
        raise ZipIndexError("it is one part of an archive in several: join the parts first")
    shift = end - length - start  # something stands before the archive, as in a self-extracting one
    if shift < 0 or length > size:
        raise ZipIndexError("its table of contents points outside the file: it is cut off")
    return count, start + shift, length, shift


def _find_rows(directory: bytes, at: int, count: int) -> tuple[list[int], int]:
    """Find where `count` rows of the table start, the first at byte `at`; and where they end."""
    rows, unpack, end = [], _SIZES.unpack_from, len(directory)
    for _ in range(count):
        if at + _ROW.itemsize > end:
            raise ZipIndexError("its table of contents has fewer entries than it says")
        signature, name_size, extra_size, comment_size = unpack(directory, at)
        if signature != b"PK\1\2":
            raise ZipIndexError("its table of contents is damaged")
        rows.append(at)
        at += _ROW.itemsize + name_size + extra_size + comment_size
    if at > end:
        raise ZipIndexError("its table of contents is damaged")
    return rows, at


def _read_rows(directory: bytes, starts: list[int], start: int, shift: int) -> tuple[pa.LargeStringArray, np.ndarray]:
    """
    Read rows of the table of contents as columns of numbers.

    Args:
        starts: of the table's rows.
        start, shift: as :func:`_find_directory` says.
    """
    content = np.frombuffer(directory, dtype=np.uint8)
    fixed = content[np.array(starts)[:, None] + np.arange(_ROW.itemsize)].view(_ROW)[:, 0]
    numbers = np.stack([fixed[name].astype(np.int64) for name in _NUMBERS], axis=1)
    for i in np.flatnonzero((numbers[:, :3] == 0xFFFFFFFF).any(axis=1)).tolist():
        at = starts[i] + _ROW.itemsize + int(fixed["name_size"][i])
        offset, compressed, size = numbers[i, :3].tolist()
        size, compressed, offset = _zip64(directory[at : at + int(fixed["extra_size"][i])], size, compressed, offset)
        if max(compressed, offset + shift) > NO_SIZE:
            raise ZipIndexError("an entry points outside the file")
        numbers[i, :3] = offset, compressed, min(size, NO_SIZE)  # a damaged one, which is too large in any case
    numbers[:, 0] += shift
    name_starts = np.array(starts) + _ROW.itemsize
    names = _decode_all(cut_texts(content, name_starts, name_starts + fixed["name_size"]), fixed["flags"])
    # Some Windows tools write their own separator, which the format does not allow and no K-Fashion name holds.
    names = pc.replace_substring(names, "\\", "/")
    is_file = pc.invert(pc.ends_with(names, "/"))
    numbers = numbers[is_file.to_numpy(zero_copy_only=False)]
    if (numbers[:, 0] > start - numbers[:, 1]).any():
        # It would read the table of contents as a file's bytes.
        raise ZipIndexError("an entry points outside the file")
    return names.filter(is_file), numbers


def _zip64(extra: bytes, size: int, compressed: int, offset: int) -> tuple[int, int, int]:
    """Return the three numbers, those that do not fit 32 bits taken from the extra field, in its order."""
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


def _decode_all(raw: pa.LargeBinaryArray, flags: np.ndarray) -> pa.LargeStringArray:
    """Decode all names as :func:`_decode` does one by one, which is left those that are not plainly UTF-8."""
    try:
        names = raw.cast(pa.large_string())
    except pa.ArrowInvalid:
        return pa.array(map(_decode, raw.to_pylist(), flags.tolist()), pa.large_string())
    is_utf8 = pc.or_(pc.string_is_ascii(names), pa.array(flags & _UTF8 > 0))
    is_utf8 = pc.or_(is_utf8, pc.match_substring_regex(names, _HANGUL.pattern))
    if pc.all(is_utf8, min_count=0).as_py():
        return names
    decoded = names.to_pylist()
    for row in np.flatnonzero(~is_utf8.to_numpy(zero_copy_only=False)).tolist():
        decoded[row] = _decode(raw[row].as_py(), int(flags[row]))
    return pa.array(decoded, pa.large_string())


def _decode(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8" if flags & _UTF8 else "cp949", errors="replace")
    if name.isascii() or flags & _UTF8 or _HANGUL.search(name):
        return name
    korean = raw.decode("cp949", errors="replace")  # 키치 in cp949 is UTF-8 too, of letters that nobody writes
    return korean if _HANGUL.search(korean) else name


def entry_fault(entry: ZipEntry, max_size: int) -> str:
    """
    Say why an entry is not to be read, or return "".

    Args:
        entry: of :func:`read_zip_index`.
        max_size: bytes; a larger entry is no annotation or photograph, but perhaps a bomb.
    """
    if entry.encrypted:
        return "zip entry encrypted"
    if entry.method not in (STORED, DEFLATED):
        return "zip entry of an unknown compression"
    if re.search(_SUSPICIOUS, entry.name):
        parts = entry.name.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or ":" in parts[0] or "\0" in entry.name:
            return "zip entry leaves the folder"
    if entry.size > max_size or entry.compressed_size > max_size:
        return "zip entry too large"
    if entry.method == STORED and entry.size != entry.compressed_size:
        return "zip entry of two sizes"
    return ""


def may_be_faulty(names: pa.LargeStringArray, numbers: np.ndarray, max_size: int) -> np.ndarray:
    """
    Say which entries :func:`entry_fault` has to look at.

    Args:
        names, numbers: of :func:`read_zip_chunks`.
        max_size: as for :func:`entry_fault`.

    Returns:
        bool (n,): False where :func:`entry_fault` would have nothing to say.
    """
    _, compressed_size, size, method, _, flags = numbers.T
    suspicious = pc.match_substring_regex(names, _SUSPICIOUS).to_numpy(zero_copy_only=False)
    is_usual = (method == DEFLATED) | ((method == STORED) & (size == compressed_size))
    return suspicious | ~is_usual | (flags & ENCRYPTED > 0) | (np.maximum(size, compressed_size) > max_size)
