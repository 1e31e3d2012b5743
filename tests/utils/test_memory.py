import platform
from pathlib import Path

import pytest

from kfashion_d2.utils.memory import return_free_memory


def resident():
    """MiB of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 2**10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the memory of another C library")
def test_holes_between_what_is_kept_go_back():
    blocks = [bytes(1024) for _ in range(100_000)]
    kept = blocks[::100]
    del blocks
    before = resident()
    return_free_memory()
    assert resident() < before - 50
    assert len(kept) == 1000
