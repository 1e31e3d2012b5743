"""A function in a process of its own, and the memory that it and its children take meanwhile. Linux."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Peak", "memory_of", "run_alone"]

INTERVAL = 0.1  # seconds between two looks at the memory


class Peak(NamedTuple):
    """
    The most at any look, MiB, pages shared by n processes counted as 1 / n in each (PSS).

    Attributes:
        main: of the process.
        child: of one of its children.
        all: of them together.
    """

    main: float
    child: float
    all: float


def memory_of(pid: int, *, file: str = "smaps_rollup", only: str = "") -> dict[str, float]:
    """
    MiB by kind ("Rss", "Pss", "Private_Dirty", "Private_Clean", "Anonymous", ...), as /proc has it; empty when the
    process is gone.

    Args:
        file: with "smaps", mapping by mapping.
        only: of mappings of files below this path; needs "smaps".
    """
    sums: dict[str, float] = {}
    with suppress(OSError):
        is_wanted = not only
        for line in Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split(maxsplit=5)
            if not words[0].endswith(":"):
                is_wanted = not only or (len(words) == 6 and words[5].startswith(only))
            elif is_wanted and words[-1] == "kB":
                sums[words[0][:-1]] = sums.get(words[0][:-1], 0) + int(words[1]) / 1024
    return sums


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _children(int(child))


def run_alone(function: Callable[..., Any], *args: Any) -> tuple[Any, Peak]:
    """
    What a picklable function returns in a fresh process.

    Raises:
        RuntimeError: it failed there; the process has printed why.
    """
    context = get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(theirs, function, args))
    process.start()
    theirs.close()
    peak = [0.0, 0.0, 0.0]
    try:
        while not mine.poll(INTERVAL):
            main = memory_of(process.pid or 0).get("Pss", 0)
            others = [memory_of(child).get("Pss", 0) for child in _children(process.pid or 0)]
            now = main, max(others, default=0), main + sum(others)
            peak = [max(pair) for pair in zip(peak, now, strict=True)]
        return mine.recv(), Peak(*peak)
    except EOFError:
        raise RuntimeError(f"{function.__name__} failed in its process") from None
    finally:
        process.join()


def _call(connection: Connection, function: Callable[..., Any], args: tuple) -> None:
    set_start_method(None, force=True)  # for its own children what users have
    connection.send(function(*args))
    connection.close()
