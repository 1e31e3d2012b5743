"""Files and folders that are there as a whole or not at all."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["garbage_collector_off", "named_errors", "new_file", "replace_folder", "write_atomically"]


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
def named_errors(path: Path) -> Iterator[None]:
    """Errors of a write name the file that it was for, which they do not always do by themselves."""
    try:
        yield
    except OSError as error:
        if error.filename or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


def write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with named_errors(path):
        temporary.write_bytes(data)
    os.replace(temporary, path)


def replace_folder(new: Path, old: Path) -> None:
    """Give `new` the name of `old`, which goes if it is there."""
    retired = old.with_name(f".{old.name}.old.partial")
    if old.exists():
        os.rename(old, retired)
    os.rename(new, old)
    shutil.rmtree(retired, ignore_errors=True)
