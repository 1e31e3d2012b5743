"""This module gives memory that is no longer used back to the operating system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

__all__ = ["return_free_memory"]


def return_free_memory() -> None:
    """
    Give free memory back to the operating system where the C library keeps it, as glibc does; elsewhere do nothing.

    Large arrays that come and go, such as masks, leave holes in glibc's heap between small ones that stay: the process
    grows, although its data hardly do. docs/benchmarks.md has a curve.
    """
    malloc_trim = _malloc_trim()
    if malloc_trim is not None:
        malloc_trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl and macOS have no such function, Windows no CDLL(None)
        return None
