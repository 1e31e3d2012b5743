"""This module writes the lines of problems.jsonl."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from ..annotation.parser import Problem
from ..sources.paths import escaped

__all__ = ["problem_line", "shown"]

# What ends a line for some readers, and spaces that look like another.
_UNSEEN = re.compile("[\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]")


def problem_line(split: str, path: str, problem: Problem, **details: str) -> str:
    """
    Write a problem as a line of problems.jsonl, which any JSON parser reads, and writes again. Hangul stands in it as
    it is, for people who search the file.

    Args:
        details: further keys.
    """
    entry: dict[str, Any] = {"split": split, "path": path, **problem._asdict(), **details}
    try:
        line = json.dumps(entry, allow_nan=False, default=str, ensure_ascii=False)
        orjson.dumps(orjson.loads(line))
    except (ValueError, TypeError, RecursionError):  # NaN, beyond a double, halves of surrogate pairs, deep nesting
        value = None if problem.value is None else escaped(shown(problem.value))
        entry = {**entry, "path": escaped(path), "key": escaped(problem.key), "value": value}
        line = json.dumps(entry, ensure_ascii=False)
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", line) + "\n"


def shown(value: Any) -> str:
    """Show any value as a text, however long or deep it is."""
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return "too long or too deep to show"
