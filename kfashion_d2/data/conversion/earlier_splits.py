"""
This module names the splits that an earlier conversion left in the folder and the present one does not make again. They
may be wanted (Training today, Validation tomorrow) or forgotten: they stay, with their problems.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import orjson

__all__ = ["earlier_splits", "problems_of"]


def earlier_splits(output: Path, present: Collection[str]) -> list[str]:
    """Return the names of the splits in a folder that are not among the present ones."""
    return sorted(path.parent.name for path in output.glob("[!.]*/meta.json") if path.parent.name not in present)


def problems_of(path: Path, splits: Collection[str]) -> Iterator[bytes]:
    """Yield the lines of a problems.jsonl that are about some splits; none where it cannot be read."""
    if not splits or not path.is_file():
        return
    with open(path, "rb") as file:
        for line in file:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(entry, dict) and entry.get("split") in splits:
                yield line
