#!/usr/bin/env python
"""
Convert K-Fashion annotations, in folders or in AI Hub's zip archives, to a store that Detectron2 trains from. Nothing
is unpacked: images are read where they are. A run that was stopped goes on where it was.

    python tools/convert_kfashion.py /data/K-Fashion --output datasets/kfashion --workers 8
"""

import argparse
import logging
import sys

from kfashion_d2.data import convert_dataset
from kfashion_d2.data.conversion.convert import summary_table
from kfashion_d2.schema import AttributeSchema


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root", help="folder of the data: with Training and Validation, or any other layout")
    parser.add_argument("--output", required=True, help="folder for the splits, problems.jsonl and summary.json")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--strict", action="store_true", help="stop at the first problem that is not merely noted")
    parser.add_argument("--split", help="split of files in no folder whose name says one (default: train)")
    parser.add_argument("--labels-only", action="store_true", help="keep annotations without an image, for analysis")
    parser.add_argument(
        "--check-images", action="store_true", help="open every image; drop broken and wrong-sized ones"
    )
    parser.add_argument("--schema", help="a schema file of your own")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        summary = convert_dataset(
            args.data_root,
            args.output,
            workers=args.workers,
            strict=args.strict,
            split=args.split,
            labels_only=args.labels_only,
            check_images=args.check_images,
            schema=AttributeSchema.from_file(args.schema) if args.schema else None,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"convert_kfashion.py: error: {error}")
    except KeyboardInterrupt:
        sys.exit("convert_kfashion.py: stopped; the same command goes on with what is not done yet")
    print(summary_table(summary))
    print(f"\nEvery problem, with its file: {args.output}/problems.jsonl")


if __name__ == "__main__":
    main()
