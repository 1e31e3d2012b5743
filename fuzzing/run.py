"""
This module starts long runs with atheris, coverage-guided (https://github.com/google/atheris): each target has a
process of its own.

An input that breaks a promise is kept, as `<target>-<hash>` with its traceback beside it; a target goes on after it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from .targets import TARGETS, clean_up, seeds

__all__ = ["Outcome", "fuzz", "replay"]

_INPUTS = re.compile(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)\s", re.MULTILINE)
_EDGES = re.compile(r"\bcov: (\d+)")
_SHARED = "/dev/shm"
_MEMORY, _HANG = 4096, 60  # MiB; seconds that one input may take


class Outcome(NamedTuple):
    """
    An outcome says what the run of one target came to.

    Attributes:
        inputs: tried.
        edges: of the package's code that the inputs took, as atheris counts them.
        faults: files with the inputs that broke a promise, each with a traceback in `<file>.txt`.
    """

    target: str
    seconds: float
    inputs: int
    edges: int
    faults: list[Path]


def fuzz(targets: Iterable[str], seconds: float, folder: str | Path, seed: int = 1) -> list[Outcome]:
    """
    Fuzz targets one after the other.

    Args:
        targets: names in TARGETS.
        seconds: in all; each target has an equal part.
        folder: gets `corpus/<target>/`, from which a later run goes on, and `faults/`.
        seed: of the mutations.

    Raises:
        ModuleNotFoundError: atheris is not installed.
        RuntimeError: a run came to nothing.
    """
    if find_spec("atheris") is None:
        raise ModuleNotFoundError(
            "fuzzing needs the package atheris (Linux, Python 3.11 or newer): pip install 'kfashion_d2[fuzz]'",
            name="atheris",
        )
    targets, folder = list(targets), Path(folder).resolve()
    return [_run(name, max(1, round(seconds / len(targets))), folder, seed) for name in targets]


def _run(name: str, seconds: int, folder: Path, seed: int) -> Outcome:
    corpus, faults = folder / "corpus" / name, folder / "faults"
    for directory in (corpus, faults):
        directory.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(name)):
        (corpus / f"seed-{number:02d}").write_bytes(data)
    before = set(faults.iterdir())
    options = {
        "max_total_time": seconds,
        "print_final_stats": 1,
        "seed": seed,
        "max_len": 8192,
        "rss_limit_mb": _MEMORY,
        "timeout": _HANG,
        "artifact_prefix": f"{faults}{os.sep}{name}-",
    }
    root = Path(__file__).resolve().parents[1]  # "-m fuzzing" is found in the folder where the process starts
    command = [sys.executable, "-m", "fuzzing", name, str(faults)]
    command += [f"-{key}={value}" for key, value in options.items()] + [str(corpus)]
    # The process ends where libFuzzer ends it, so its scratch files are removed here. In memory, where that can be.
    with tempfile.TemporaryDirectory(dir=_SHARED if os.access(_SHARED, os.W_OK) else None) as scratch:
        environment = {**os.environ, "TQDM_DISABLE": "1", "TMPDIR": scratch}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, errors="replace")
    new_faults = sorted(path for path in set(faults.iterdir()) - before if path.suffix != ".txt")
    counts = [int(a or b) for a, b in _INPUTS.findall(done.stderr)]
    if not counts or (done.returncode and not new_faults):
        raise RuntimeError(f"fuzzing {name} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    for path in new_faults:
        if not path.with_suffix(".txt").exists():  # it hung, or took too much memory: libFuzzer has ended the process
            path.with_suffix(".txt").write_text(done.stderr[-4000:], "utf-8")
    edges = max(map(int, _EDGES.findall(done.stderr)), default=0)
    return Outcome(name, seconds, max(counts), edges, new_faults)


def replay(target: str, file: str | Path) -> None:
    """
    Try one input again; atheris is not needed.

    Raises:
        Exception: whatever the fault is.
    """
    try:
        TARGETS[target](Path(file).read_bytes())
    finally:
        clean_up()
