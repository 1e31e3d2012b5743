"""
This module cuts very many paths into their parts at once: Arrow columns cut in NumPy, where a loop over the paths would
take seconds.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .image_types import IMAGE_SUFFIXES

__all__ = [
    "NO_ID",
    "PathParts",
    "composed",
    "cut_texts",
    "escaped",
    "label_stem_of",
    "label_stems",
    "split_paths",
    "stem_id",
    "stem_ids",
    "stem_of",
    "text_column",
]

NO_ID = np.iinfo(np.int64).max  # where an image id is expected and the name is none


class PathParts(NamedTuple):
    """
    These are the parts of N paths "folder/name.suffix", large_string (N,) each.

    Attributes:
        folders: all before the last slash; empty where there is none.
        names: all after it, without the last dot and what follows that.
        suffixes: what follows the last dot; empty where there is none.
    """

    folders: pa.LargeStringArray
    names: pa.LargeStringArray
    suffixes: pa.LargeStringArray


PIECE = 1 << 16  # paths that are cut at a time: it takes many times their own room


def split_paths(paths: pa.LargeStringArray) -> PathParts:
    """
    Cut paths into folders, names, stems and suffixes.

    Args:
        paths: large_string (N,), no nulls.

    Returns:
        Their parts, each a new column.
    """
    if not len(paths):
        return PathParts(paths, paths, paths)
    pieces = [_split(paths[start : start + PIECE]) for start in range(0, len(paths), PIECE)]
    return PathParts(*map(pa.concat_arrays, zip(*pieces, strict=True)))


def _split(paths: pa.LargeStringArray) -> PathParts:
    _, offsets, data = paths.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64, count=len(paths) + 1, offset=8 * paths.offset)
    starts, ends = bounds[:-1], bounds[1:]
    content = np.frombuffer(data or b"", dtype=np.uint8)
    slashes = _last(content, ord("/"), starts, ends)
    name_starts = np.where(slashes < 0, starts, slashes + 1)
    dots = _last(content, ord("."), name_starts, ends)
    name_ends = np.where(dots < 0, ends, dots)
    columns = (starts, np.maximum(slashes, starts)), (name_starts, name_ends), (np.minimum(name_ends + 1, ends), ends)
    return PathParts(*(cut_texts(content, *column).cast(pa.large_string()) for column in columns))


def cut_texts(content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> pa.LargeBinaryArray:
    """
    Return content[starts[i] : ends[i]] for each i.

    Args:
        content: uint8.
        starts, ends: int64 (N,).

    Returns:
        large_binary (N,)
    """
    lengths = ends - starts
    offsets = np.zeros(len(starts) + 1, dtype=np.int64)
    lengths.cumsum(out=offsets[1:])
    positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content[positions])]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(starts), buffers)


def composed(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """
    Return texts in Unicode's composed form, NFC. (Arrow's own way leaves letters decomposed, up to version 18 at
    least.)
    """
    if pc.all(pc.string_is_ascii(texts), min_count=0).as_py():
        return texts
    return pa.array([unicodedata.normalize("NFC", text) for text in texts.to_pylist()], pa.large_string())


def _last(content: np.ndarray, byte: int, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """
    Find the position of the last such byte in content[starts[i] : ends[i]]; -1 where there is none. No byte of a letter
    outside ASCII is one, in UTF-8.
    """
    positions = np.concatenate([[-1], np.flatnonzero(content == byte)])
    last = positions[np.searchsorted(positions, ends) - 1]
    return np.where(last < starts, -1, last)


def escaped(text: str) -> str:
    """Write what is not Unicode in a text, as in names of files and broken JSON, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def text_column(texts: list[str]) -> tuple[pa.LargeStringArray, list[int]]:
    """
    Make a column of texts, and list the rows of those that are not Unicode, as names of files can be: they are written
    with escapes.
    """
    try:
        return pa.array(texts, pa.large_string()), []
    except UnicodeEncodeError:
        written = list(map(escaped, texts))
        changed = [i for i, pair in enumerate(zip(texts, written, strict=True)) if pair[0] != pair[1]]
        return pa.array(written, pa.large_string()), changed


def stem_of(path: str) -> str:
    """Return the file's name without its ending, in Unicode's composed form."""
    name = path[path.rfind("/") + 1 :]
    stem = name[: name.rfind(".")] if "." in name else name
    return stem if stem.isascii() else unicodedata.normalize("NFC", stem)


def label_stem_of(path: str) -> str:
    """Return the stem of an annotation's image: "1" for "1.json", and for "1.jpg.json" too."""
    stem = stem_of(path)
    name, _, suffix = stem.rpartition(".")
    return name if name and suffix.lower() in IMAGE_SUFFIXES else stem


def label_stems(names: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return :func:`label_stem_of` of annotations, large_string (N,), from their names without ".json"."""
    if not pc.any(pc.match_substring(names, "."), min_count=0).as_py():
        return names
    return pc.replace_substring_regex(names, f"(?i)^(.+)\\.({'|'.join(sorted(IMAGE_SUFFIXES))})$", r"\1")


def stem_id(stem: str) -> int:
    """Return the stem as an image id, or NO_ID."""
    return int(stem) if stem.isdecimal() and len(stem) < 19 else NO_ID


def stem_ids(stems: pa.LargeStringArray) -> np.ndarray:
    """Return :func:`stem_id` of each stem, int64 (N,)."""
    is_usual = pc.match_substring_regex(stems, "^[0-9]{1,18}$")
    ids = pc.if_else(is_usual, stems, str(NO_ID)).cast(pa.int64()).to_numpy().copy()
    # Digits of other scripts are digits too; of ASCII there are no others.
    for position in np.flatnonzero(~pc.string_is_ascii(stems).to_numpy(zero_copy_only=False)).tolist():
        ids[position] = stem_id(stems[position].as_py())
    return ids
