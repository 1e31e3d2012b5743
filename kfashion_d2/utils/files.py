"""Files and folders that are there as a whole or not at all."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

__all__ = ["garbage_collector_off", "new_file", "replace_folder", "store_hash", "write_atomically", "write_table"]


@contextmanager
def garbage_collector_off() -> Iterator[None]:
    """JSON and lists of names have no cycles; the collector would look for them among all of them, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def new_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A write that fails does not say by itself which file it was for."""
    try:
        yield
    except OSError as error:
        if error.filename or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


def write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with _named(path):
        temporary.write_bytes(data)
    os.replace(temporary, path)


def write_table(path: Path, table: pa.Table) -> str:
    """An Arrow file of one record batch. Returns its SHA-256."""
    batches = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
    temporary = path.with_name(f".{path.name}.tmp")
    with _named(path), pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(batches[0])
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    os.replace(temporary, path)
    return digest


def store_hash(shard_hashes: Iterable[str]) -> str:
    """Of a split, from what :func:`write_table` returned for its shards."""
    return hashlib.sha256("".join(shard_hashes).encode()).hexdigest()


def replace_folder(new: Path, old: Path) -> None:
    """Give `new` the name of `old`, which goes if it is there."""
    retired = old.with_name(f".{old.name}.old.partial")
    if old.exists():
        os.rename(old, retired)
    os.rename(new, old)
    shutil.rmtree(retired, ignore_errors=True)
