"""This module starts processes that do not outlive the one that started them, and whose death is told in one line."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["map_in_order", "worker_pool"]

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def worker_pool(workers: int, function: Callable[..., Any] | None = None) -> Iterator[ProcessPoolExecutor]:
    """
    Open a pool of processes; on an error what is not begun is dropped.

    Args:
        function: that every worker keeps, for :func:`map_in_order`.

    Raises:
        ChildProcessError: a worker died.
    """
    with ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(function,)) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise ChildProcessError(
                f"one of {workers} worker processes died, most often killed for want of memory; run it again, with "
                "fewer workers"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """
    Do what `map` does, in a pool. Items are taken as they are needed, so that a million are not copied at once.

    Args:
        function: picklable; each worker has one copy of it, which keeps its state between items.
        workers: with 1, no other process.
    """
    if workers == 1:
        yield from map(function, items)
        return
    with worker_pool(workers, function) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(_call_kept, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_kept: Callable[..., Any] | None = None  # of this process, where it is a worker


def _start_worker(function: Callable[..., Any] | None) -> None:
    global _kept
    _kept = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _call_kept(item: Any) -> Any:
    assert _kept is not None
    return _kept(item)


def _end_with_parent() -> None:
    """
    End this process with its parent: a parent that is killed tells nobody, and its workers would wait for work for
    ever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
