"""
This module finds photographs that belong together: of one look, the same file twice, or nearly the same picture.

Rows are the images of several splits, one split after the other: N in all. A pair is a pair of rows.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from ...utils.workers import worker_pool
from ..statistics.problem_counts import look_names
from ..store.dataset import KFashionDataset
from ..store.zip_reader import ZipChangedError, read_image_bytes

__all__ = ["KINDS", "ImagePairs", "connected_groups", "find_image_pairs", "near_pairs"]

logger = logging.getLogger(__name__)

KINDS = ("same id", "same look", "same content", "nearly the same")
CONTENT_COLUMN = "content_hash"  # where a store knows its images' content, no file is read
TAIL = 4096  # bytes


class ImagePairs(NamedTuple):
    """
    These are pairs of photographs that belong together.

    Attributes:
        first, second: int64 (M,), rows; `first` is the smaller one.
        kind: int8 (M,), index in KINDS.
    """

    first: np.ndarray
    second: np.ndarray
    kind: np.ndarray


def find_image_pairs(
    datasets: Sequence[KFashionDataset], *, images: bool = False, max_distance: int = 4, workers: int = 1
) -> ImagePairs:
    """
    Find the pairs of photographs that belong together. Rows with a thing in common are paired with the first such row
    of every split, so the number of pairs is linear, their connected components are the groups, and a pair crosses
    between any two splits that share something.

    Args:
        images: open every image, for the perceptual hash: imagehash's `phash`, 64 bits (needs the extra `splits`).
            Without it only files of one size are compared, by content.
        max_distance: bits in which the hashes of nearly the same pictures may differ.
        workers: processes that open images.

    Raises:
        ModuleNotFoundError: `images` without the package imagehash.
    """
    splits = np.repeat(np.arange(len(datasets)), [len(dataset) for dataset in datasets])
    ids = np.concatenate([dataset.image_ids for dataset in datasets])
    pair_tables = [_equal_code_pairs(ids, splits, 0), _equal_code_pairs(_look_codes(datasets), splits, 1)]
    contents, hashes = _read_images(datasets, images, workers)
    pair_tables.append(_equal_code_pairs(contents, splits, 2))
    if hashes is not None:
        rows = np.flatnonzero([value is not None for value in hashes])
        row_hashes = np.array([hashes[row] for row in rows], dtype=np.uint64)
        near = _near_hash_pairs(row_hashes, splits[rows], max_distance)
        pair_tables += [ImagePairs(rows[pairs.first], rows[pairs.second], pairs.kind) for pairs in near]
    return ImagePairs(*(np.concatenate(column) for column in zip(*pair_tables, strict=True)))


def connected_groups(pairs: ImagePairs, num_rows: int) -> np.ndarray:
    """Number the groups: rows that pairs join, directly or through others, have one number; int64 (N,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs.first), dtype=bool)
    graph = coo_array((ones, (pairs.first, pairs.second)), shape=(num_rows, num_rows))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _equal_code_pairs(codes: np.ndarray, splits: np.ndarray, kind: int) -> ImagePairs:
    """
    Pair the rows that have one code; see :func:`find_image_pairs` for which of them.

    Args:
        codes: int64 (N,); -1 is no code.
        splits: (N,), ascending.
    """
    rows = np.flatnonzero(codes >= 0)
    rows = rows[np.argsort(codes[rows], kind="stable")]  # by code, then by row
    firsts, seconds = [], []
    for split in np.unique(splits):
        members = rows[splits[rows] == split]
        leader_codes, positions = np.unique(codes[members], return_index=True)
        later = rows[splits[rows] >= split]
        position = np.minimum(np.searchsorted(leader_codes, codes[later]), max(len(leader_codes) - 1, 0))
        if not len(leader_codes):
            continue
        leaders = members[positions[position]]
        keep = (leader_codes[position] == codes[later]) & (leaders != later)
        firsts.append(leaders[keep])
        seconds.append(later[keep])
    first, second = (np.concatenate([*parts, np.zeros(0, np.int64)]).astype(np.int64) for parts in (firsts, seconds))
    return ImagePairs(first, second, np.full(len(first), kind, dtype=np.int8))


def _codes(texts: pa.Array) -> np.ndarray:
    """Number the texts: equal texts have one number, null has -1; int64 (N,)."""
    return texts.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _look_codes(datasets: Sequence[KFashionDataset]) -> np.ndarray:
    names = [batch.column("original_file_name") for batch in _batches(datasets)]
    return _codes(look_names(pa.chunked_array(names, pa.string())))


def near_pairs(hashes: np.ndarray, max_distance: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Find every pair of hashes that differ in at most `max_distance` bits. Cut into one band more than that, such a pair
    agrees in a band; so only hashes that do are compared.

    Args:
        hashes: uint64 (U,), each once.

    Returns:
        Two int64 (M,) of positions in `hashes`, the smaller first, each pair once.
    """
    edges = np.linspace(0, 64, max_distance + 2).astype(int)
    close_pairs = []
    for low, high in pairwise(edges.tolist()):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind="stable")
        ordered, active, step = band[order], np.arange(len(hashes)), 0
        while len(active):
            step += 1
            active = active[active + step < len(hashes)]
            active = active[ordered[active] == ordered[active + step]]
            a, b = order[active], order[active + step]
            bits = np.unpackbits((hashes[a] ^ hashes[b]).view(np.uint8).reshape(-1, 8), axis=1)
            close = bits.sum(axis=1) <= max_distance
            close_pairs.append(np.stack([np.minimum(a, b)[close], np.maximum(a, b)[close]]))
    pairs = np.unique(np.concatenate([*close_pairs, np.zeros((2, 0), np.int64)], axis=1), axis=1)
    return pairs[0], pairs[1]


def _near_hash_pairs(hashes: np.ndarray, splits: np.ndarray, max_distance: int) -> Iterator[ImagePairs]:
    unique, codes = np.unique(hashes, return_inverse=True)
    yield _equal_code_pairs(codes.astype(np.int64), splits, 3)
    a, b = near_pairs(unique, max_distance)
    present = np.unique(splits)
    leaders = np.full((len(present), len(unique)), -1, dtype=np.int64)
    for position, split in enumerate(present):
        rows = np.flatnonzero(splits == split)[::-1]
        leaders[position, codes[rows]] = rows  # the first row is written last
    for first_leaders in leaders:
        for second_leaders in leaders:
            first, second = first_leaders[a], second_leaders[b]
            both = (first >= 0) & (second >= 0)
            first, second = first[both], second[both]
            kind = np.full(len(first), 3, dtype=np.int8)
            yield ImagePairs(np.minimum(first, second), np.maximum(first, second), kind)


def _read_images(
    datasets: Sequence[KFashionDataset], near: bool, workers: int
) -> tuple[np.ndarray, list[int | None] | None]:
    """Compute codes of the images' contents, int64 (N,) with -1 for none; and with `near` the perceptual hashes."""
    stored = [batch.column(CONTENT_COLUMN) for batch in _batches(datasets) if CONTENT_COLUMN in batch.schema.names]
    if stored and not near:
        return _codes(pa.chunked_array(stored).combine_chunks()), None
    names = [dataset[i]["file_name"] for dataset in datasets for i in range(len(dataset))]
    if near:
        if find_spec("imagehash") is None:
            raise ModuleNotFoundError(
                "near-duplicates need the package imagehash: pip install 'kfashion_d2[splits]'", name="imagehash"
            )
        digests_and_hashes = _map(_digest_and_hash, names, workers, "read images")
        content_digests = [digest for digest, _ in digests_and_hashes]
        _warn_of_unread(names, content_digests)
        return _codes(pa.array(content_digests, pa.binary())), [value for _, value in digests_and_hashes]
    ends = _map(_tail_digest, names, 1, "compare files")
    _warn_of_unread(names, ends)
    tails = _codes(pa.array(ends, pa.binary()))
    candidates = np.flatnonzero((tails >= 0) & (np.bincount(tails + 1)[tails + 1] > 1))
    digests: list[bytes | None] = [None] * len(names)
    for row, digest in zip(candidates, _map(_digest, [names[i] for i in candidates], 1, "read files"), strict=True):
        digests[row] = digest
    return _codes(pa.array(digests, pa.binary())), None


def _warn_of_unread(names: list[str], digests: list[bytes | None]) -> None:
    unread = [name for name, digest in zip(names, digests, strict=True) if digest is None]
    if unread:
        logger.warning(
            "%d of %d images cannot be read and are compared by their names alone; the first: %s",
            len(unread),
            len(names),
            unread[0] or "has no file",
        )


def _batches(datasets: Sequence[KFashionDataset]) -> Iterator[pa.RecordBatch]:
    for dataset in datasets:
        yield from (shard.batch for shard in dataset.shards())


def _map(function: Callable[[str], Any], names: list[str], workers: int, desc: str) -> list[Any]:
    bar = {"total": len(names), "unit": " images", "desc": desc, "disable": len(names) < 10_000}
    if workers == 1:
        return list(tqdm(map(function, names), **bar))
    with worker_pool(workers) as pool:
        return list(tqdm(pool.map(function, names, chunksize=64), **bar))


def _tail_digest(file_name: str) -> bytes | None:
    """Hash a file's size and its end: files that differ here are different, and little is read."""
    if not os.path.isfile(file_name):
        return _digest(file_name)
    with open(file_name, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - TAIL, 0))
        return hashlib.blake2b(b"%d:" % size + file.read(), digest_size=16).digest()


def _digest(file_name: str) -> bytes | None:
    try:
        return hashlib.blake2b(read_image_bytes(file_name), digest_size=16).digest()
    except OSError:
        return None


def _digest_and_hash(file_name: str) -> tuple[bytes | None, int | None]:
    import imagehash
    from PIL import Image

    try:
        data = read_image_bytes(file_name)
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", (128, 128))  # a JPEG decodes at a fraction of its size; the hash looks at 32 x 32
            bits = imagehash.phash(image).hash
        perceptual_hash = int(np.packbits(bits).view(">u8")[0])
    except ZipChangedError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None, None
    return hashlib.blake2b(data, digest_size=16).digest(), perceptual_hash
