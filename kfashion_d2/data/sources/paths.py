"""Parts of very many paths at once: Arrow columns cut in NumPy, where a loop over the paths would take seconds."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["PathParts", "composed", "cut_texts", "split_paths"]


class PathParts(NamedTuple):
    """
    Of N paths "folder/name.suffix", large_string (N,) each.

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
    content[starts[i] : ends[i]] for each i.

    Args:
        content: uint8.
        starts, ends: int64 (N,).

    Returns:
        large_binary (N,)
    """
    lengths = ends - starts
    offsets = np.zeros(len(starts) + 1, dtype=np.int64)
    lengths.cumsum(out=offsets[1:])
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content[places])]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(starts), buffers)


def composed(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """In Unicode's composed form, NFC. (Arrow's own way leaves letters decomposed, up to version 18 at least.)"""
    if pc.all(pc.string_is_ascii(texts), min_count=0).as_py():
        return texts
    return pa.array([unicodedata.normalize("NFC", text) for text in texts.to_pylist()], pa.large_string())


def _last(content: np.ndarray, byte: int, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The place of the last such byte in content[starts[i] : ends[i]]; -1 where there is none. No byte of a letter
    outside ASCII is one, in UTF-8."""
    places = np.concatenate([[-1], np.flatnonzero(content == byte)])
    found = places[np.searchsorted(places, ends) - 1]
    return np.where(found < starts, -1, found)
