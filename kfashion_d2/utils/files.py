"""This module writes files and folders that are there as a whole or not at all."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["garbage_collector_off", "named_errors", "new_file", "new_path", "replace_folder", "write_file"]


@contextmanager
def garbage_collector_off() -> Iterator[None]:
    """
    Stop the garbage collector meanwhile: JSON and lists of names have no cycles, and it would look for them among all
    of them, again and again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Make errors of a write name the file that it was for, which they do not always do by themselves."""
    try:
        yield
    except OSError as error:
        if error.filename or error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


@contextmanager
def new_path(path: str | Path, *, one_writer: bool = False) -> Iterator[Path]:
    """
    Give a temporary path to write to, which takes the name `path` when the block ends without an error.

    Args:
        path: of the file to be; its folder is made.
        one_writer: no other process writes this file at the same time. The temporary name is then always the same, so
            that what a killed process left is overwritten by the next one; else it holds the process's number.

    Raises:
        OSError: the file cannot be written; the error names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp" if one_writer else f".{path.name}.{os.getpid()}.tmp")
    try:
        with named_errors(path):
            yield temporary
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def new_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the name `path` when the block ends without an error; see :func:`new_path`."""
    with new_path(path) as temporary, open(temporary, "wb") as file:
        yield file


def write_file(path: str | Path, data: bytes) -> None:
    """Write all of a file at once: another process sees the old content or the new one, nothing between."""
    with new_file(path) as file:
        file.write(data)


def replace_folder(new: Path, old: Path) -> None:
    """Give `new` the name of `old`, which goes if it is there."""
    retired = old.with_name(f".{old.name}.old.partial")
    if os.path.lexists(old):
        os.rename(old, retired)
    os.rename(new, old)
    if retired.is_symlink():  # what it leads to stays
        retired.unlink()
    shutil.rmtree(retired, ignore_errors=True)
