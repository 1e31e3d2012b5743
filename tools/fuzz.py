#!/usr/bin/env python
"""
Look for input that breaks the converter: bytes become annotations, archives and folders, and what is promised of any
input is checked. Needs the extra "fuzz" (atheris). docs/robustness.md says what was tried and found.

    python tools/fuzz.py --seconds 600
    python tools/fuzz.py --seconds 60 --target archive
    python tools/fuzz.py --target archive --replay output/fuzz/faults/archive-0123456789ab
"""

import argparse
import sys
from pathlib import Path

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # fuzzing/ lies beside the package

from fuzzing.run import fuzz, replay
from fuzzing.targets import TARGETS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="in all, shared by the targets (default: 600)")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="may be given again (default: all)")
    parser.add_argument("--output", default="output/fuzz", metavar="DIR", help="corpus and faults (output/fuzz)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default: 1)")
    parser.add_argument("--replay", metavar="FILE", help="try this input of the one --target again, and stop")
    args = parser.parse_args()
    if args.replay:
        if len(args.target or []) != 1:
            parser.error("--replay: name its --target")
        replay(args.target[0], args.replay)
        print(f"{args.replay} breaks nothing")
        return
    try:
        outcomes = fuzz(args.target or list(TARGETS), args.seconds, args.output, args.seed)
    except (ModuleNotFoundError, RuntimeError, OSError) as error:
        sys.exit(f"fuzz.py: error: {error}")
    rows = [[o.target, o.seconds, o.inputs, o.edges, len(o.faults)] for o in outcomes]
    print(tabulate(rows, headers=["target", "seconds", "inputs", "edges", "faults"], intfmt=","))
    for outcome in outcomes:
        for file in outcome.faults:
            print(f"{outcome.target}: {file}, {file.with_suffix('.txt').name}")
    sys.exit(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    main()
