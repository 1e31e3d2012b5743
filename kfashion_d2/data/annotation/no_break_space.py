"""
This module finds no-break spaces in an annotation: they are folded away, and reported to those who write such files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .parser import Problem

__all__ = ["find_no_break_spaces"]

_ESCAPED = re.compile(rb"\\u00[aA]0")


def find_no_break_spaces(data: bytes, obj: Any) -> Problem | None:
    """
    Find the no-break spaces in an annotation's keys and texts.

    Args:
        data: the file, UTF-8.
        obj: what it holds.

    Returns:
        A problem with the keys under which they stand, and the first text; None where there are none.
    """
    # Looking for one byte costs a twentieth of looking for two; Hangul has neither in it.
    if not (b"\xc2" in data and b"\xc2\xa0" in data) and not (b"\\" in data and _ESCAPED.search(data)):
        return None
    texts = list(_texts_with_no_break_space(obj))
    if not texts:  # an escaped backslash before "u00a0"
        return None
    return Problem("", ", ".join(dict.fromkeys(key for key, _ in texts)), "no-break space", "noted", texts[0][1])


def _texts_with_no_break_space(obj: Any) -> Iterator[tuple[str, str]]:
    """Yield (key, text) of every text that has one, in the file's order; of a key itself, the key twice."""
    waiting: list[tuple[str, Any]] = [("", obj)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += reversed(list(value.items()))
            yield from ((name, name) for name in value if "\u00a0" in name)
        elif isinstance(value, list):
            waiting += [(key, item) for item in reversed(value)]
        elif isinstance(value, str) and "\u00a0" in value:
            yield key, value
