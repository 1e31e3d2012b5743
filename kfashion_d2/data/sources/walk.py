"""This module walks over the data's folders, and names what it cannot enter, such as links that lead nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..store.folder import is_split_folder
from .paths import escaped

__all__ = ["CONVERTED", "DEAD_LINK", "UNREADABLE", "FolderContent", "WalkFault", "walk_sources"]

CONVERTED, DEAD_LINK, UNREADABLE = "converted store, left alone", "link leads nowhere", "folder unreadable"


class WalkFault(NamedTuple):
    """
    A walk fault is a folder or link that was not followed.

    Attributes:
        path: relative to the root, Unicode; "." for the root itself.
        reason: why not.
        unit: "folders" or "links".
        value: what the system says, or where the link points; None for what is left alone on purpose.
    """

    path: str
    reason: str
    unit: str
    value: str | None


class FolderContent(NamedTuple):
    """
    This is the content of one folder, as the walk gives it.

    Attributes:
        path: relative to the root, with forward slashes; "" for the root.
        names: its files, sorted; links to files too.
        faults: what in it was not followed.
    """

    path: str
    names: list[str]
    faults: list[WalkFault]


def walk_sources(root: Path) -> Iterator[FolderContent]:
    """
    Yield each folder in a fixed order, linked ones too, each once; hidden ones and converted stores are left out.

    Raises:
        OSError: the root cannot be read.
    """
    seen = set()
    waiting = [""]
    while waiting:
        path = waiting.pop()
        folder = f"{root}/{path}" if path else str(root)
        try:
            stat = os.stat(folder)
            if (stat.st_dev, stat.st_ino) in seen:  # a link back, or a folder reached twice
                continue
            seen.add((stat.st_dev, stat.st_ino))
            folders, names, faults = _list_folder(folder, path)
        except OSError as error:
            if not path:
                raise
            yield FolderContent(path, [], [WalkFault(escaped(path), UNREADABLE, "folders", error.strerror)])
            continue
        if "meta.json" in names and is_split_folder(folder):
            yield FolderContent(path, [], [WalkFault(escaped(path) or ".", CONVERTED, "folders", None)])
            continue
        is_output = {"summary.json", "problems.jsonl"}.issubset(names)
        if is_output and any(is_split_folder(os.path.join(folder, name)) for name in folders):
            names.remove("summary.json")
        yield FolderContent(path, names, faults)
        waiting += [f"{path}/{name}" if path else name for name in reversed(folders)]


def _list_folder(folder: str, path: str) -> tuple[list[str], list[str], list[WalkFault]]:
    """List a folder's folders and files, each sorted, and its links that lead nowhere."""
    folders, names, faults = [], [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                if not entry.name.startswith("._"):
                    names.append(entry.name)
            elif _is_dir(entry):
                if not entry.name.startswith(".") and entry.name != "__MACOSX":
                    folders.append(entry.name)
            elif entry.is_symlink() and not os.path.exists(entry.path):
                if not entry.name.startswith("."):
                    entry_path = escaped(f"{path}/{entry.name}" if path else entry.name)
                    faults.append(WalkFault(entry_path, DEAD_LINK, "links", escaped(os.readlink(entry.path))))
            elif not entry.name.startswith("._"):
                names.append(entry.name)
    return sorted(folders), sorted(names), sorted(faults)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry is a folder or leads to one; only for links the system is asked."""
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False
