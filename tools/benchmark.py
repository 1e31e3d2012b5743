#!/usr/bin/env python
"""
Measure speed, memory and what helps; docs/benchmarks.md and docs/ablation.md have the figures.

    python tools/benchmark.py convert --num 100000 --workers 1 2
    python tools/benchmark.py accuracy --docs docs
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/ lies beside the package

BENCHMARKS = {
    "convert": "conversion, opening and reading of the store, images out of archives",
    "coco-ap": "COCO AP of boxes or masks, beside pycocotools and hotcoco",
    "evaluate": "everything that evaluation does after the model, at scale",
    "memory": "how the memory of an evaluation with masks grows, image by image",
    "iou-f1": "AP at IoU and F1, beside the fashionpedia package and at scale",
    "accuracy": "an ablation: what each choice of the attribute branch brings, on a long-tailed demo set",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="name", required=True)
    for name, summary in BENCHMARKS.items():
        command = commands.add_parser(name, help=summary)
        if name in sys.argv[1:2]:  # the others may need what is not installed
            module = import_module(f"benchmarks.{name.replace('-', '_')}")
            command.description = module.__doc__
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args()
    print(args.run(args))


if __name__ == "__main__":
    main()
