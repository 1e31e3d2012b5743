"""
Draw a demo set: people in garments, annotated in the real K-Fashion format and layout, faults included.

    python tools/make_demo_data.py datasets/demo --num-train 1100 --num-val 300 --seed 0
"""

from __future__ import annotations

import argparse
import sys
import time

from kfashion_d2.data import make_demo_data


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="folder to write; an older demo set in it is replaced")
    parser.add_argument("--num-train", type=int, default=1100, help="training pictures (default: 1100)")
    parser.add_argument("--num-val", type=int, default=300, help="validation pictures (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same set (default: 0)")
    parser.add_argument(
        "--annotations-only", action="store_true", help="write the JSON files alone, to time conversion"
    )
    parser.add_argument("--clean", action="store_true", help="without the faults of the real data")
    parser.add_argument(
        "--imbalance",
        type=float,
        default=1.0,
        help="how many times as common a group's first label is as its last; 100 gives a long tail (default: 1)",
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    start = time.perf_counter()
    try:
        summary = make_demo_data(
            args.output,
            args.num_train,
            args.num_val,
            args.seed,
            dirt=not args.clean,
            annotations_only=args.annotations_only,
            imbalance=args.imbalance,
        )
    except ValueError as error:
        print(f"make_demo_data.py: {error}", file=sys.stderr)
        return 2
    images, annotations, garments = (sum(summary[key].values()) for key in ("images", "annotations", "garments"))
    faults = sum(summary["dirt"].values())
    print(
        f"{annotations} annotations, {garments} garments, {images} pictures and {faults} planted faults "
        f"in {time.perf_counter() - start:.1f} s: {args.output}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
