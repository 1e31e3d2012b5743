#!/usr/bin/env python
"""
Divide converted splits anew so that they do not leak, look for leaks between splits, or take a small part of one.

    python tools/split_data.py check datasets/kfashion/train datasets/kfashion/val --pairs leaks.csv
    python tools/split_data.py resplit datasets/kfashion/train datasets/kfashion/val \\
        --output datasets/clean --shares train=0.8 val=0.1 test=0.1 --images --workers 8
    python tools/split_data.py subset datasets/kfashion/train --output datasets/small/train --fraction 0.01

Photographs of one look (PREFIX_NNN_MM.jpg), files of one content and, with --images, nearly equal pictures stay
together.
"""

import argparse
import sys

from tabulate import tabulate

from kfashion_d2.data import KFashionDataset
from kfashion_d2.data.splits.grouping import KINDS
from kfashion_d2.data.splits.resplit import check_leaks, resplit, take_subset
from kfashion_d2.schema import AttributeSchema


def share(text):
    name, _, number = text.partition("=")
    return name, float(number)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--image-root", metavar="DIR", help="where the images are, if they moved since conversion")
    data.add_argument("--schema", metavar="FILE", help="the schema file, if not K-Fashion's vocabulary")
    together = argparse.ArgumentParser(add_help=False)
    together.add_argument("stores", nargs="+", help="folders of converted splits")
    together.add_argument("--images", action="store_true", help="open the images, for nearly equal pictures")
    together.add_argument("--max-distance", type=int, default=4, help="bits of 64 that may differ (default: 4)")
    together.add_argument("--workers", type=int, default=1, help="processes that open images (default: 1)")
    chance = argparse.ArgumentParser(add_help=False)
    chance.add_argument("--output", required=True, metavar="DIR", help="resplit: their folder; subset: the split's")
    chance.add_argument("--seed", type=int, default=0, help="the same seed gives the same splits (default: 0)")

    command = commands.add_parser("resplit", parents=[together, chance, data], help="divide splits anew")
    command.add_argument(
        "--shares", nargs="+", type=share, default=[("train", 0.9), ("val", 0.1)], metavar="NAME=SHARE"
    )
    command = commands.add_parser("check", parents=[together, data], help="look for leaks between splits")
    command.add_argument("--pairs", metavar="FILE", help="write the pairs to this CSV file")
    command = commands.add_parser("subset", parents=[chance, data], help="take a part of a split")
    command.add_argument("store", help="folder of a converted split")
    way = command.add_mutually_exclusive_group(required=True)
    way.add_argument("--fraction", type=float, help="this share of the images, labels in proportion")
    way.add_argument("--per-label", type=int, metavar="N", help="few images, with N of every label where there are")
    return parser.parse_args()


def run(args):
    schema = AttributeSchema.from_file(args.schema) if args.schema else None

    def open_split(folder):
        return KFashionDataset(folder, image_root=args.image_root, schema=schema)

    if args.command == "subset":
        dataset = open_split(args.store)
        counts = take_subset(dataset, args.output, fraction=args.fraction, per_label=args.per_label, seed=args.seed)
        print(f"{counts['images']} of {len(dataset)} images, {counts['garments']} garments: {args.output}")
        return
    datasets = [open_split(folder) for folder in args.stores]
    options = {"images": args.images, "max_distance": args.max_distance, "workers": args.workers}
    if args.command == "check":
        leaks = check_leaks(datasets, args.pairs, **options)
        rows = [[*pair, *(counts[kind] for kind in KINDS)] for pair, counts in leaks.items()]
        print(tabulate(rows, headers=["split", "leaks into", *KINDS]))
        if args.pairs:
            print(f"\nThe pairs: {args.pairs}")
        return
    report = resplit(datasets, args.output, dict(args.shares), seed=args.seed, **options)
    rows = [[name, counts["images"], counts["garments"]] for name, counts in report["splits"].items()]
    print(tabulate(rows, headers=["split", "images", "garments"]))
    print(f"\n{report['groups']} groups, the largest of {report['largest_group']} images; ", end="")
    print(f"{report['duplicate_ids']} images left out whose id stands twice: {args.output}")


def main():
    args = parse_args()
    try:
        run(args)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"split_data.py: error: {error}")


if __name__ == "__main__":
    main()
