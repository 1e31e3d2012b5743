#!/usr/bin/env python
"""
Tune the temperature and the threshold of every attribute group on the validation split, and keep them in the
checkpoint: scores that mean what they say, and "unsure" where no answer is worth giving. Prediction, evaluation and
export use them from then on.

    python tools/calibrate.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml \\
        DATASETS.KFASHION.ROOT datasets/kfashion MODEL.WEIGHTS output/r50/model_final.pth
"""

import argparse

from kfashion_d2 import engine
from kfashion_d2.evaluation.calibration.reliability import calibration_table
from kfashion_d2.utils.command_line import one_line_errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config that the model was trained with")
    parser.add_argument("--dataset", metavar="NAME", help="labelled split (default: the first of DATASETS.TEST)")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write a new checkpoint (default: change MODEL.WEIGHTS, and keep it as it was beside it)",
    )
    parser.add_argument(
        "--f1",
        choices=("micro", "macro"),
        default="micro",
        help="what a multi-label threshold maximises (default: micro)",
    )
    parser.add_argument(
        "--target-precision",
        type=float,
        default=0.5,
        metavar="P",
        help='a single-label answer less likely right than this is "unsure" (default: 0.5; 0: never)',
    )
    parser.add_argument(
        "--min-support", type=int, default=10, metavar="N", help="labelled garments that a group needs (default: 10)"
    )
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="of the groups' names in the tables")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs over the config, MODEL.WEIGHTS among them")
    args = parser.parse_intermixed_args()
    with one_line_errors("calibrate.py"):
        engine.setup_loggers()
        run = engine.calibrate(
            engine.setup_config(args.config_file, args.opts),
            dataset_name=args.dataset,
            output=args.output,
            f1=args.f1,
            target_precision=args.target_precision,
            min_support=args.min_support,
        )
    schema = run.calibration.schema
    print(f"\nOn all garments of {run.calibration.settings['dataset']}, which it was tuned on:\n")
    print(calibration_table(run.report, schema, args.language))
    print("\nHeld out: each half of the images, tuned on the other:\n")
    print(calibration_table(run.held_out, schema, args.language))
    print(f"\nWritten into {run.checkpoint}; the figures: {run.report_file}")
    if run.uncalibrated:
        print(f"The checkpoint as it was: {run.uncalibrated}")


if __name__ == "__main__":
    main()
