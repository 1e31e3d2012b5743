#!/usr/bin/env python
"""
Write a converted split in another format; or read a COCO file back into a split.

    python tools/export_data.py datasets/kfashion/val --format coco --output val.json
    python tools/export_data.py datasets/kfashion/val --format yolo --output datasets/yolo
    python tools/export_data.py val.json --from-coco --output datasets/mine/val
"""

import argparse
import sys

from tabulate import tabulate

from kfashion_d2.data import KFashionDataset, formats, import_coco
from kfashion_d2.data.formats import FORMATS
from kfashion_d2.schema import AttributeSchema


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a converted split's folder; with --from-coco: the COCO file")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--format", choices=FORMATS, help="what to write")
    way.add_argument("--from-coco", action="store_true", help="write a split from a COCO file instead")
    parser.add_argument("--output", required=True, help="a file (coco, fashionpedia), or a folder")
    parser.add_argument("--image-root", metavar="DIR", help="where the images are, if they moved")
    parser.add_argument("--schema", metavar="FILE", help="the schema file, if not K-Fashion's vocabulary")
    args = parser.parse_args()
    try:
        schema = AttributeSchema.from_file(args.schema) if args.schema else None
        if args.from_coco:
            counts = import_coco(args.source, args.output, image_root=args.image_root, schema=schema)
            print(f"{counts['images']} images, {counts['garments']} garments: {args.output}")
            if counts["problems"]:
                print(tabulate(counts["problems"], headers="keys"))
                print(f"\nEvery problem, with its annotation: {args.output}/problems.jsonl")
        else:
            dataset = KFashionDataset(args.source, "category_or_part", image_root=args.image_root, schema=schema)
            written = getattr(formats, f"export_{args.format}")(dataset, args.output)
            print(f"{len(dataset)} images: {written}")
    except (ValueError, OSError) as error:
        sys.exit(f"export_data.py: error: {error}")


if __name__ == "__main__":
    main()
