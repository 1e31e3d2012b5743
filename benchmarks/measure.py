"""Read how much memory this process has used."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["memory_peak_since_reset", "peak_memory", "reset_memory_peak"]


def peak_memory() -> float:
    """Return the memory of the process at its largest, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def reset_memory_peak() -> float:
    """Forget how large the process was before, and return what it holds now, MiB. Linux."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory_peak_since_reset()


def memory_peak_since_reset() -> float:
    """Return the memory of the process at its largest since :func:`reset_memory_peak`, MiB. Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10
