"""
This module reads single values of COCO entries. Numbers may stand as text and whole numbers as floats; what cannot be
read is an error that names file, id, key and remedy.

`where` is the file and the entry, as in "val.json, image 5, annotation 3".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..annotation.geometry import as_number

__all__ = ["image_size", "label_id", "numbers", "present", "text", "whole_number", "whole_or_none"]


def label_id(index: Callable[[str], int], name: Any, key: str, where: str) -> int:
    """Return the id of a label by its English name; ValueError where there is no such label."""
    if not isinstance(name, str):
        raise ValueError(f"{where}: {key} {name!r} is not text; give a name of the vocabulary, or null for unknown")
    try:
        return index(name)
    except ValueError as error:
        raise ValueError(f"{where}: {key}: {error}") from None


def number_or_none(value: Any) -> float | None:
    """Return a finite number, also where it stands as text; else None."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return as_number(value)


def whole_or_none(value: Any) -> int | None:
    """Return a whole number of any size, also where it stands as a float or as text; else None."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            value = number_or_none(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int else None


def present(entry: dict[str, Any], key: str, where: str) -> Any:
    """Return the value of a key; ValueError where the entry lacks it."""
    if key not in entry:
        raise ValueError(f"{where}: the key {key!r} is missing; add it, or remove the entry")
    return entry[key]


def whole_number(entry: dict[str, Any], key: str, limit: int, where: str) -> int:
    """Return a whole number from 0 to below `limit`; ValueError where the value is none."""
    value = present(entry, key, where)
    number = whole_or_none(value)
    if number is None or not 0 <= number < limit:
        raise ValueError(f"{where}: {key} {value!r} is not a number from 0 to {limit - 1}; correct it")
    return number


def image_size(entry: dict[str, Any], key: str, where: str) -> int:
    """Return a width or height; 0 where it is none, as in files that were written without opening the images."""
    number = whole_or_none(present(entry, key, where))
    return 0 if number is not None and number <= 0 else whole_number(entry, key, 2**31, where)


def text(entry: dict[str, Any], key: str, where: str) -> str:
    """Return a text; ValueError where the value is none."""
    value = present(entry, key, where)
    if not isinstance(value, str):
        raise ValueError(f"{where}: {key} {value!r} is not text; correct it")
    return value


def numbers(values: list[Any], key: str, where: str) -> list[float]:
    """Return finite numbers, as many as there are values; ValueError where one is none."""
    read = [number for number in map(number_or_none, values) if number is not None]
    if len(read) < len(values):
        raise ValueError(f"{where}: {key} {values!r} are not all numbers; correct them, or leave the key out")
    return read
