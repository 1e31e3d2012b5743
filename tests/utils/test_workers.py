import os

import pytest

from kfashion_d2.utils.workers import map_in_order


class Counting:
    """Knows how often this very copy of it was called."""

    def __init__(self):
        self.calls = 0

    def __call__(self, item):
        self.calls += 1
        return item, os.getpid(), self.calls


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_and_each_worker_keeps_its_copy(workers):
    found = list(map_in_order(Counting(), iter(range(20)), workers))
    assert [item for item, *_ in found] == list(range(20))
    by_process = {}
    for _, pid, calls in found:
        by_process.setdefault(pid, []).append(calls)
    assert (os.getpid() in by_process) == (workers == 1)
    assert len(by_process) <= workers
    assert all(calls == list(range(1, len(calls) + 1)) for calls in by_process.values())


def test_items_are_taken_as_they_are_needed():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = map_in_order(Counting(), items(), 2)
    next(results)
    assert len(taken) == 5  # twice the workers wait, and one more was given
    results.close()
