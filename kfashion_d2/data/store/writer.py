"""
This module writes a split from Arrow tables, in the store's format. Everything but the converter writes splits through
it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...utils.files import new_path, replace_folder
from ...utils.output_folder import check_output_folder, is_left_by_system
from .schema import CROWD, FORMAT

if TYPE_CHECKING:  # with it comes torch, which a conversion does without
    from .dataset import KFashionDataset

__all__ = ["check_split_folder", "data_folders", "select_rows", "store_hash", "write_split", "write_table"]

ROWS = 4096  # images a shard
SPLIT_FILES = (
    "meta.json",
    "shard-*.arrow",
    "coco_*.json",
    "problems.jsonl",
    ".*.tmp",
)  # all that this package puts into a split


def check_split_folder(folder: str | Path, sources: Iterable[str | Path] = ()) -> None:
    """
    Refuse to write a split over anything but an earlier one, or inside or around what is read.

    Raises:
        ValueError: as :func:`kfashion_d2.utils.output_folder.check_output_folder` says, or the folder is a split that
            holds other files too, which would go with it.
    """
    check_output_folder(folder, marker=_is_split, sources=sources)
    path = Path(folder)
    for name in sorted(os.listdir(path)) if path.is_dir() else ():
        if not is_left_by_system(name) and not any(fnmatchcase(name, pattern) for pattern in SPLIT_FILES):
            raise ValueError(
                f"{folder} would be replaced, but also holds {name}, which is no file of a split: move it away, or "
                "give another output"
            )


def _is_split(folder: Path) -> bool:
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(meta, dict) and {"format", "store_hash"} <= meta.keys()


def data_folders(datasets: Iterable[KFashionDataset]) -> list[Path]:
    """
    List the folders that nothing may be written into: the splits, and their images. (An image root around the splits
    themselves, as a COCO file's own folder is, does not count.)
    """
    folders: list[Path] = []
    for dataset in datasets:
        split, images = dataset.split_dir.resolve(), Path(dataset.image_root).resolve()
        folders += [split] if split.is_relative_to(images) else [split, images]
    return list(dict.fromkeys(folders))


def write_table(path: Path, table: pa.Table) -> str:
    """Write an Arrow file of one record batch, and return its SHA-256."""
    batches = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
    with new_path(path, one_writer=True) as temporary:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_batch(batches[0])
        return hashlib.sha256(temporary.read_bytes()).hexdigest()


def store_hash(shard_hashes: Iterable[str]) -> str:
    """Hash a split, from what :func:`write_table` returned for its shards."""
    return hashlib.sha256("".join(shard_hashes).encode()).hexdigest()


def select_rows(datasets: Iterable[KFashionDataset], keep: np.ndarray) -> Iterator[pa.Table]:
    """
    Yield the rows that are kept, in their order.

    Args:
        keep: bool (N,) over the images of all the splits, one after the other.
    """
    start = 0
    datasets = list(datasets)
    has_crowd = any(shard.crowd is not None for dataset in datasets for shard in dataset.shards())
    for dataset in datasets:
        for shard in dataset.shards():
            batch = shard.batch
            if has_crowd and shard.crowd is None:
                zeros = pa.array(np.zeros(shard.offsets[-1], dtype=np.int8))
                batch = batch.append_column(CROWD, pa.ListArray.from_arrays(pa.array(shard.offsets), zeros))
            kept = keep[start : start + batch.num_rows]
            start += batch.num_rows
            if kept.any():
                yield pa.Table.from_batches([batch.filter(pa.array(kept))])


def write_split(
    folder: str | Path,
    tables: Iterable[pa.Table],
    like: Mapping[str, Any],
    image_root: str | Path,
    *,
    dropped: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """
    Write a split in one step: it appears when it is complete, and replaces an older one and nothing else.

    Args:
        folder: the split's folder, as in `datasets/kfashion/train`.
        tables: with the columns of :func:`kfashion_d2.data.store.schema.arrow_schema`; may be small or large.
        like: has the `schema` and the `zips` of the tables, as the `meta` of a split; read when all is written.
        image_root: the folder that `file_name` is relative to.
        dropped: the `images` and `garments` that were left out of the tables; read when all is written.

    Returns:
        `images` and `garments`.

    Raises:
        ValueError: the folder holds something else; see :func:`check_split_folder`.
    """
    check_split_folder(folder)
    folder = Path(folder).resolve()
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    rows: list[int] = []
    hashes: list[str] = []
    garments = 0
    try:
        for table in _of_size(tables, ROWS):
            hashes.append(write_table(partial / f"shard-{len(rows):05d}.arrow", table))
            rows.append(table.num_rows)
            garments += pc.sum(pc.list_value_length(table["part"])).as_py() or 0
        images = sum(rows)
        left_out = {"images": 0, "garments": 0, **(dropped or {})}
        meta = {
            "format": FORMAT,
            "schema": like["schema"],
            "store_hash": store_hash(hashes),
            "image_root": os.path.relpath(Path(image_root).resolve(), folder).replace(os.sep, "/"),
            "zips": like["zips"],
            "rows": rows,
            "annotations": images + left_out["images"],
            "images_out": images,
            "annotations_dropped": left_out["images"],
            "garments": garments + left_out["garments"],
            "garments_out": garments,
            "garments_dropped": left_out["garments"],
        }
        (partial / "meta.json").write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        replace_folder(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return {"images": images, "garments": garments}


def _of_size(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Cut the same rows into tables of `size`, the last one smaller."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= size:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, size)
            waiting, count = [joined.slice(size)], count - size
    if count:
        yield pa.concat_tables(waiting)
