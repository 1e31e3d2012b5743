#!/usr/bin/env python
"""
Write a trained model as TorchScript and ONNX, with a JSON file that says what goes in and what comes out.

    python tools/export_model.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml --output output/export \
        --image photos/1.jpg MODEL.WEIGHTS output/r50/model_final.pth
"""

import argparse

from kfashion_d2 import engine
from kfashion_d2.exported import FORMATS
from kfashion_d2.utils.command_line import one_line_errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="config that the model was trained with")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for model.ts, model.onnx and model.json")
    parser.add_argument(
        "--format", action="append", choices=FORMATS, help="may be given more than once (default: all of them)"
    )
    parser.add_argument(
        "--image", action="append", default=[], metavar="FILE", help="picture with garments, to compare the results on"
    )
    parser.add_argument("--score-threshold", type=float, default=0.5, help="least score of a garment (default: 0.5)")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs over the config, MODEL.WEIGHTS among them")
    args = parser.parse_intermixed_args()
    with one_line_errors("export_model.py", (ModuleNotFoundError, ValueError, OSError, RuntimeError)):
        engine.setup_loggers()
        from kfashion_d2.export import export_model

        cfg = engine.setup_config(args.config_file, args.opts, register=False)
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = args.score_threshold
        run = export_model(cfg, args.output, formats=args.format or FORMATS, images=args.image)
    for name, difference in run.differences.items():
        compared = "not compared" if difference is None else f"at most {difference:.1g} from the model"
        print(f"{name}: {compared}, on {run.garments} garments in pictures of three sizes")
    print(f"Wrote {', '.join(map(str, run.files))}")


if __name__ == "__main__":
    main()
