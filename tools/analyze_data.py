#!/usr/bin/env python
"""
Say what a converted data set holds: report.html, one page for people, and summary.json, the same numbers.

    python tools/analyze_data.py datasets/kfashion
    python tools/analyze_data.py datasets/kfashion --output output/look --thumbnails 6 --blur-faces
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

# Thousands of small matrix products, whose threads would mostly wait for each other. NumPy reads it when it loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from kfashion_d2.data import analyze_splits, open_splits, pick_garments, read_image_bytes
from kfashion_d2.schema import AttributeSchema
from kfashion_d2.visualization import make_thumbnails, write_data_report


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="a converted data set, with its splits; or one split")
    parser.add_argument(
        "--output", default="output/analysis", metavar="DIR", help="gets report.html and summary.json (output/analysis)"
    )
    parser.add_argument("--title", help="the page's heading (default: K-Fashion data)")
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="the page opens in (default: en)")
    parser.add_argument(
        "--thumbnails", type=int, nargs="?", const=6, default=0, metavar="N", help="show N garments of each label (6)"
    )
    parser.add_argument("--blur-faces", action="store_true", help="in them; needs the extra 'faces'")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of garments (default: 0)")
    parser.add_argument("--image-root", metavar="DIR", help="where the images are, if they moved since conversion")
    parser.add_argument("--schema", metavar="FILE", help="the schema file, if not K-Fashion's vocabulary")
    args = parser.parse_args()
    if args.thumbnails < 0:
        parser.error(f"--thumbnails {args.thumbnails}: 0 or more")
    if args.blur_faces and not args.thumbnails:
        parser.error("--blur-faces: there are no photographs without --thumbnails")
    return args


def run(args):
    schema = AttributeSchema.from_file(args.schema) if args.schema else None
    splits = open_splits(args.store, schema=schema, image_root=args.image_root)
    folder, output = Path(args.store).resolve(), Path(args.output)
    if output.resolve() in (folder, folder.parent):
        raise ValueError(f"--output {output}: the conversion's own summary.json lies there; name another folder")
    files = [position / "problems.jsonl" for position in (folder, folder.parent)]
    problems = next((file for file in files if file.is_file()), None)
    summary = analyze_splits(splits, problems)
    datasets = list(splits.values())
    thumbnails = None
    if args.thumbnails:
        picked = pick_garments(datasets, args.thumbnails, args.seed)
        thumbnails = make_thumbnails(datasets, picked, read_image_bytes, blur=args.blur_faces)
    output.mkdir(parents=True, exist_ok=True)
    (output / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_data_report(
        output / "report.html",
        summary,
        datasets[0].schema,
        language=args.language,
        title=args.title,
        thumbnails=thumbnails,
        blurred=args.blur_faces,
    )
    return output


def main():
    args = parse_args()
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        output = run(args)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"analyze_data.py: error: {error}")
    print(f"{output / 'report.html'}, {output / 'summary.json'}")


if __name__ == "__main__":
    main()
