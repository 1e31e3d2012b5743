"""This module recognises folders that a conversion wrote, so that none is read as raw data and no other is replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from ...utils.output_folder import check_output_folder, is_left_by_system

__all__ = ["check_split_folder", "is_conversion_folder", "is_split_folder"]

_SPLIT_FILES = ("meta.json", "shard-*.arrow", "coco_*.json", ".*.tmp")


def is_split_folder(folder: str | Path) -> bool:
    """Say whether a folder is a converted split, of this or another version of the store."""
    path = Path(folder, "meta.json")
    if not path.is_file():
        return False
    try:
        meta = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(meta, dict) and {"format", "store_hash"} <= meta.keys()


def is_conversion_folder(folder: str | Path) -> bool:
    """Say whether a folder is what a conversion writes: finished splits, or those of a run that was stopped."""
    folder = Path(folder)
    return any(map(is_split_folder, folder.glob("[!.]*"))) or any(folder.glob(".*.partial"))


def check_split_folder(folder: str | Path, sources: Iterable[str | Path] = ()) -> None:
    """
    Refuse a folder for a new split that holds anything but an older split; see :func:`check_output_folder`.

    Raises:
        ValueError: the folder may not be replaced; the message names it, the reason and the remedy.
    """
    check_output_folder(folder, marker=is_split_folder, sources=sources)
    if not is_split_folder(folder):
        return
    names = sorted(path.name for path in Path(folder).iterdir() if not is_left_by_system(path.name))
    foreign = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in _SPLIT_FILES)]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise ValueError(
            f"{folder} is a converted split, and holds what does not belong to it ({foreign[0]}{more}): move that "
            "away, or give another folder for the output"
        )
