#!/usr/bin/env python
"""
Find the garments of images, with their attributes, and the styles of a model that knows them: a picture of each, and
predictions.json.

    python tools/predict.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml --input photos/ more/*.jpg \\
        --output output/predictions --language ko MODEL.WEIGHTS output/r50/model_final.pth
"""

import argparse
import re
import sys
from pathlib import Path

from kfashion_d2 import engine
from kfashion_d2.utils.command_line import one_line_errors

CONFIG_KEY = re.compile(r"(MODEL|DATASETS|DATALOADER|INPUT|SOLVER|TEST)\.[A-Z0-9_.]+|OUTPUT_DIR|SEED")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config that the model was trained with")
    parser.add_argument("--input", required=True, nargs="+", metavar="IMAGE", help="files, folders or quoted globs")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for pictures and predictions.json")
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="of the text in the pictures")
    parser.add_argument("--score-threshold", type=float, default=0.5, help="least score of a garment (default: 0.5)")
    parser.add_argument(
        "--attribute-threshold",
        type=float,
        help="least score of a material, print or detail, and no answer is unsure (default: what tools/calibrate.py "
        "tuned, 0.5 where it was not run)",
    )
    parser.add_argument("--top-k", type=int, default=1, help="labels of a color, length, ... (default: 1)")
    parser.add_argument(
        "--style-top-k", type=int, default=3, help="styles of an image, if the model knows them (default: 3)"
    )
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs over the config; not right behind --input's files")
    args = parser.parse_intermixed_args()
    with one_line_errors("predict.py"):
        key = next((word for word in args.input if CONFIG_KEY.fullmatch(word) and not Path(word).exists()), None)
        if key:
            raise ValueError(f"{key} stands behind --input, among its files: put KEY VALUE pairs before --input")
        engine.setup_loggers()
        from kfashion_d2.predictor import KFashionPredictor, find_images, predict_files

        cfg = engine.setup_config(args.config_file, args.opts, register=False)
        files = find_images(args.input)
        predictor = KFashionPredictor(
            cfg,
            score_threshold=args.score_threshold,
            attribute_threshold=args.attribute_threshold,
            top_k=args.top_k,
            style_top_k=args.style_top_k,
        )
        run = predict_files(predictor, files, args.output, language=args.language)
    if not run.predictions:
        sys.exit(f"predict.py: error: not one of {len(files)} images could be read")
    garments = sum(len(entry["garments"]) for entry in run.predictions)
    print(f"{garments} garments in {len(run.predictions)} images; {len(run.broken)} not readable. See {args.output}")


if __name__ == "__main__":
    main()
