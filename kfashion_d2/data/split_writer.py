"""Write a split from Arrow tables, in the store's format. Everything but the converter writes splits through here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .store import FORMAT, KFashionDataset

__all__ = ["iter_shards", "select_rows", "write_split"]

ROWS = 4096  # images a shard


def iter_shards(dataset: KFashionDataset) -> Iterator[pa.RecordBatch]:
    """The columns of a split, shard by shard, memory-mapped."""
    for number in range(len(dataset.meta["rows"])):
        with pa.memory_map(str(dataset.split_dir / f"shard-{number:05d}.arrow")) as source:
            yield pa.ipc.open_file(source).get_batch(0)


def select_rows(datasets: Iterable[KFashionDataset], keep: np.ndarray) -> Iterator[pa.Table]:
    """
    The rows that are kept, in their order.

    Args:
        keep: bool (N,) over the images of all the splits, one after the other.
    """
    start = 0
    for dataset in datasets:
        for batch in iter_shards(dataset):
            kept = keep[start : start + batch.num_rows]
            start += batch.num_rows
            if kept.any():
                yield pa.Table.from_batches([batch.filter(pa.array(kept))])


def write_split(
    folder: str | Path, tables: Iterable[pa.Table], like: Mapping[str, Any], image_root: str | Path
) -> dict[str, int]:
    """
    Write a split in one step: it appears when it is complete, and replaces an older one.

    Args:
        folder: the split's folder, as in `datasets/kfashion/train`.
        tables: with the columns of :func:`kfashion_d2.data.store.arrow_schema`; may be small or large.
        like: has the `schema` and the `zips` of the tables, as the `meta` of a split; read when all is written.
        image_root: the folder that `file_name` is relative to.

    Returns:
        `images` and `garments`.
    """
    folder = Path(folder).resolve()
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    rows: list[int] = []
    garments, digest = 0, hashlib.sha256()
    try:
        for table in _of_size(tables, ROWS):
            path = partial / f"shard-{len(rows):05d}.arrow"
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_batch(table.combine_chunks().to_batches()[0])
            digest.update(path.read_bytes())
            rows.append(table.num_rows)
            garments += pc.sum(pc.list_value_length(table["part"])).as_py() or 0
        images = sum(rows)
        meta = {
            "format": FORMAT,
            "schema": like["schema"],
            "store_hash": digest.hexdigest(),
            "image_root": os.path.relpath(Path(image_root).resolve(), folder).replace(os.sep, "/"),
            "zips": like["zips"],
            "rows": rows,
            "annotations": images,
            "images_out": images,
            "annotations_dropped": 0,
            "garments": garments,
            "garments_out": garments,
            "garments_dropped": 0,
        }
        (partial / "meta.json").write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        retired = folder.with_name(f".{folder.name}.old.partial")
        if folder.exists():
            os.rename(folder, retired)
        os.rename(partial, folder)
        shutil.rmtree(retired, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return {"images": images, "garments": garments}


def _of_size(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of `size`, the last one smaller."""
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
