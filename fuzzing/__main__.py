"""This module is the process that atheris takes over; :func:`fuzzing.run.fuzz` starts it."""

from __future__ import annotations

import hashlib
import sys
import traceback
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["kfashion_d2"]):
    from fuzzing.targets import TARGETS


def main(name: str, faults: str, *options: str) -> None:
    target, seen = TARGETS[name], set()
    warnings.simplefilter("error")  # a warning of NumPy's is a case that nobody thought of

    def one_input(data: bytes) -> None:
        try:
            target(data)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            key = type(error).__name__, frame.filename, frame.lineno
            if key not in seen:  # the same fault again is no news, and the run goes on
                seen.add(key)
                file = Path(faults, f"{name}-{hashlib.sha256(data).hexdigest()[:12]}")
                file.write_bytes(data)
                file.with_suffix(".txt").write_text(traceback.format_exc(), "utf-8")

    atheris.Setup([sys.argv[0], *options], one_input)
    atheris.Fuzz()


main(*sys.argv[1:])
