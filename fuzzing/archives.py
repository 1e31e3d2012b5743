"""This module makes zip archives like AI Hub's and like nobody's, and breaks them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from functools import cache

from .choices import Choices

__all__ = ["base_archives", "patch_archive", "zip_bytes"]

SIGNATURES = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7")
NUMBERS = (0, 1, 8, 9, 0x7F, 0xFF, 0x800, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
MAX_PATCHES = 6


def zip_bytes(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Pack files into an archive, and return its bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _zip64(name: bytes, content: bytes) -> bytes:
    """Make an archive with every number in its Zip64 field; Python writes those only for archives of gigabytes."""
    size = len(content)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, 0, size, size, len(name), 0) + name + content
    extra = struct.pack("<2H3Q", 1, 24, size, size, 0)
    central = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, *[0xFFFFFFFF] * 2, len(name), 28, 0, 0, 0, 0, 0xFFFFFFFF
    )
    central += name + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(central), len(local))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(local) + len(central), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, *[0xFFFFFFFF] * 2, 0)
    return local + central + end64 + locator + end


@cache
def base_archives() -> tuple[bytes, ...]:
    """Make sound archives: stored, deflated, Zip64, with a comment, bytes before it, a zip within, odd names."""
    label, image = b'{"x": 1}' * 40, bytes(range(256)) * 2
    files = {"모던/1.json": label, "모던/1.jpg": image, "empty/2.json": b"", "folder/": b""}
    deflated = zip_bytes(files)
    with_comment = io.BytesIO(deflated)
    with zipfile.ZipFile(with_comment, "a") as archive:
        archive.comment = b"PK\5\6 a comment" * 3
    korean = zip_bytes({"aaaa/3.json": label}).replace(b"aaaa", "모던".encode("cp949"))
    return (
        deflated,
        zip_bytes(files, zipfile.ZIP_STORED),
        _zip64(b"b/4.json", label),
        with_comment.getvalue(),
        b"#!stub" * 5 + deflated,
        korean,
        zip_bytes({"in.zip": deflated, "../5.json": label, "/6.json": label, "a\\..\\7.json": label}),
        zip_bytes({"8.json": b"\0" * 100_000}),
        zip_bytes({}),
    )


def patch_archive(data: bytes, choices: Choices) -> bytes:
    """Return the archive with a few fields overwritten, and pieces cut out, put in or doubled."""
    content = bytearray(data)
    for _ in range(choices.below(MAX_PATCHES)):
        heads = [at for signature in SIGNATURES for at in _all(content, signature)]
        start = choices.pick(heads) if heads and choices.below(4) else choices.below(len(content) + 1)
        at = min(start + choices.below(64), len(content))
        action = choices.below(6)
        if action < 3:
            width = choices.pick((1, 2, 4, 8))
            value = choices.pick(NUMBERS) if action else int.from_bytes(choices.take(width), "little")
            piece = (value % (1 << 8 * width)).to_bytes(width, "little")
            content[at : at + width] = piece
        elif action == 3:
            del content[at : at + 1 + choices.below(300)]
        elif action == 4:
            content[at:at] = choices.take(1 + choices.below(32))
        else:
            content[at:at] = content[start : start + 1 + choices.below(300)]
    return bytes(content)


def _all(data: bytearray, piece: bytes) -> list[int]:
    positions, at = [], data.find(piece)
    while at >= 0:
        positions.append(at)
        at = data.find(piece, at + 1)
    return positions
