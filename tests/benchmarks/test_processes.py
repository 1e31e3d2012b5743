import mmap
import os
import sys

import pytest

from benchmarks.processes import Peak, process_memory, run_alone

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")


def where(factor):
    return factor * os.getpid()


def fail():
    raise ValueError("of the function's own")


def test_in_another_process_and_its_errors_here():
    product, peak = run_alone(where, 2)
    assert product % 2 == 0 and product != 2 * os.getpid()
    assert peak.child <= peak.all and peak.main <= peak.all and len(peak) == len(Peak._fields)
    with pytest.raises(RuntimeError, match="fail failed"):
        run_alone(fail)


def anonymous_growth(num_mib):
    before = process_memory(os.getpid())["Anonymous"]
    held = bytearray(os.urandom(1 << 20)) * num_mib
    return process_memory(os.getpid())["Anonymous"] - before, len(held)


def test_memory_by_kind_and_by_file(tmp_path):
    # In a fresh process: one that ran many tests holds free memory, and need not ask for more.
    assert 60 < run_alone(anonymous_growth, 64)[0][0] < 140
    path = tmp_path / "mapped"
    path.write_bytes(bytes(3 << 20))
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        assert sum(view[:: mmap.PAGESIZE]) == 0
        found = process_memory(os.getpid(), file="smaps", only=str(tmp_path))
        assert found["Rss"] == 3
        assert process_memory(os.getpid(), file="smaps", only=str(tmp_path / "other")) == {}
    assert process_memory(2**22 + 1) == {}
