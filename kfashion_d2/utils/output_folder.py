"""This module keeps tools from deleting what they did not make: it checks an output folder before a run starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["check_output_folder", "is_left_by_system"]

_SYSTEM_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini", ".directory"})


def check_output_folder(
    folder: str | Path, *, marker: str | Callable[[Path], bool], sources: Iterable[str | Path] = ()
) -> None:
    """
    Refuse a folder to write to that holds what this package did not make, or in which the data lie.

    A folder that does not exist yet, an empty one, and a result of the same kind pass.

    Args:
        folder: the folder to write; links are followed.
        marker: how to know a result of the same kind: the name of a file that every such folder holds, or a function
            that looks at the folder.
        sources: files and folders that are read. The folder may not be one of them, lie inside one, or hold one.

    Raises:
        ValueError: the folder may not be written; the message names it, the reason and the remedy.
    """
    target = Path(os.path.realpath(folder))
    for source in sources:
        path = Path(os.path.realpath(source))
        if target == path:
            raise ValueError(f"{folder} is what is read: give another folder for the output")
        if target in path.parents:
            raise ValueError(f"{folder} holds {source}, which is read: give another folder for the output")
        if path in target.parents:
            raise ValueError(
                f"{folder} lies inside {source}, which is read: give a folder outside of it for the output"
            )
    base = next(path for path in (target, *target.parents) if path.exists())
    if not base.is_dir():
        raise ValueError(f"{base} is a file: give a folder for the output")
    if (
        base != target
        or (callable(marker) and marker(target))
        or (isinstance(marker, str) and (target / marker).is_file())
    ):
        return
    content = sorted(path.name for path in target.iterdir() if not is_left_by_system(path.name))
    if content:
        more = f" and {len(content) - 1} more" if len(content) > 1 else ""
        raise ValueError(
            f"{folder} holds something else than an earlier result of this command ({content[0]}{more}): give another "
            "folder for the output, or empty it yourself"
        )


def is_left_by_system(name: str) -> bool:
    """Say whether a file is one that a file manager leaves in a folder, such as .DS_Store."""
    return name.lower() in _SYSTEM_FILES
