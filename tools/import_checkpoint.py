#!/usr/bin/env python
"""
Bring another project's weights into one of our models: torchvision's Faster and Mask R-CNN, Match R-CNN trained on
DeepFashion2, K-COORD's Attribute R-CNN.

    python tools/import_checkpoint.py fasterrcnn_resnet50_fpn_coco.pth output/torchvision_coco.pth \\
        --config-file configs/torchvision_attribute_rcnn_R_50_FPN.yaml --new-class-layers
    python tools/train_net.py --config-file configs/torchvision_attribute_rcnn_R_50_FPN.yaml \\
        MODEL.WEIGHTS output/torchvision_coco.pth DATASETS.KFASHION.ROOT datasets/kfashion
"""

import argparse
from collections import Counter

from kfashion_d2 import engine, import_checkpoint
from kfashion_d2.utils.command_line import one_line_errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "source", help="file with the state dict, or with it under model_state_dict, state_dict or model"
    )
    parser.add_argument("output", help="the .pth file to write, for MODEL.WEIGHTS")
    parser.add_argument(
        "--config-file", required=True, metavar="FILE", help="config of the model that the weights are for"
    )
    parser.add_argument(
        "--new-class-layers", action="store_true", help="the checkpoint has other classes: leave out what predicts them"
    )
    parser.add_argument(
        "--frozen-bn-eps",
        type=float,
        metavar="EPS",
        help="what their frozen batch norms add to the variance (default: by the checkpoint; see docs/import.md)",
    )
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs over the config")
    args = parser.parse_intermixed_args()
    with one_line_errors("import_checkpoint.py"):
        engine.setup_loggers()
        cfg = engine.setup_config(args.config_file, args.opts, register=False)
        imported = import_checkpoint.import_checkpoint(
            cfg,
            args.source,
            args.output,
            new_class_layers=args.new_class_layers,
            frozen_bn_eps=args.frozen_bn_eps,
        )
    print(f"{len(imported.sources)} tensors imported into {args.output}")
    for reason, count in Counter(imported.left_out.values()).items():
        print(f"{count} not imported: {reason}")
    if imported.fresh:
        print(f"{len(imported.fresh)} begin untrained: {', '.join(imported.fresh)}")
    for note in imported.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    main()
