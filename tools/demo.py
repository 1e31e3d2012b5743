#!/usr/bin/env python
"""
Run the main job on drawn data: make it, convert it, train, evaluate, draw. Minutes on two CPU cores.

    python tools/demo.py --output output/demo
"""

import argparse

from kfashion_d2.utils.command_line import one_line_errors
from kfashion_d2.utils.lazy import needs_detectron2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="output/demo", help="folder (default: output/demo)")
    parser.add_argument("--num-train", type=int, default=1100, help="images to learn from (default: 1100)")
    parser.add_argument("--num-val", type=int, default=300, help="images to test on (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the data and the training (default: 0)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs over the config")
    args = parser.parse_args()
    with one_line_errors("demo.py"):
        with needs_detectron2():
            from kfashion_d2.demo import run_demo

        results = run_demo(args.output, num_train=args.num_train, num_val=args.num_val, seed=args.seed, opts=args.opts)
    attributes = results["attributes"]
    print(
        f"\nBox AP50 {results['bbox']['AP50']:.1f}. Single-label accuracy on detections "
        f"{attributes['mean/accuracy']:.1f}, always answering the commonest label {attributes['mean/majority']:.1f}."
        f"\n\nWhere to look, in {args.output}:\n"
        "  index.html            all of it on one page: open it in a browser\n"
        "  metrics.json          every number\n"
        "  training_curve.png    losses and accuracies\n"
        "  pictures/             predictions beside ground truth\n"
        "  train/                the model, its config and logs"
    )


if __name__ == "__main__":
    main()
