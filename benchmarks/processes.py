"""Run a function in a process of its own, and watch the memory that it and its children take. Linux."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Peak", "process_memory", "run_alone"]

INTERVAL = 0.1  # seconds between two looks at the memory


class Peak(NamedTuple):
    """
    This is the most memory at any look, MiB; a page that n processes share counts 1 / n in each (PSS).

    Attributes:
        main: the process.
        child: the largest of its children.
        all: all of them together.
    """

    main: float
    child: float
    all: float


def process_memory(pid: int, *, file: str = "smaps_rollup", only: str = "") -> dict[str, float]:
    """
    Read the memory of a process, MiB by kind ("Rss", "Pss", "Private_Dirty", "Private_Clean", "Anonymous", ...), as
    /proc has it; empty when the process is gone.

    Args:
        file: "smaps" reads mapping by mapping.
        only: count mappings of files below this path alone; needs "smaps".
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
    Call a picklable function in a fresh process.

    Returns:
        What it returned, and the most memory that it took.

    Raises:
        RuntimeError: it failed there; the process has printed why.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sender, function, args))
    process.start()
    sender.close()
    peak = [0.0, 0.0, 0.0]
    try:
        while not receiver.poll(INTERVAL):
            main = process_memory(process.pid or 0).get("Pss", 0)
            others = [process_memory(child).get("Pss", 0) for child in _children(process.pid or 0)]
            now = main, max(others, default=0), main + sum(others)
            peak = [max(pair) for pair in zip(peak, now, strict=True)]
        return receiver.recv(), Peak(*peak)
    except EOFError:
        raise RuntimeError(f"{function.__name__} failed in its process") from None
    finally:
        process.join()


def _call(connection: Connection, function: Callable[..., Any], args: tuple) -> None:
    set_start_method(None, force=True)  # its children start as users' do
    connection.send(function(*args))
    connection.close()
