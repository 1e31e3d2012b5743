#!/usr/bin/env python
"""
Train or evaluate an Attribute R-CNN, in the shape of Detectron2's own tools/train_net.py.

    python tools/train_net.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml --num-gpus 8 \\
        DATASETS.KFASHION.ROOT datasets/kfashion OUTPUT_DIR output/r50
"""

import sys

from kfashion_d2 import engine
from kfashion_d2.utils.lazy import needs_detectron2


def setup(args):
    from detectron2.engine import default_setup

    try:
        cfg = engine.setup_config(args.config_file, args.opts)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"train_net.py: error: {error}")
    if args.num_cpus:
        cfg.MODEL.DEVICE = "cpu"
    if args.eval_only:
        cfg.TEST.MAX_EVAL_IMAGES = 0
    cfg.freeze()
    default_setup(cfg, args)
    # default_setup logs for detectron2 and fvcore alone.
    engine.setup_loggers(cfg.OUTPUT_DIR, names=["kfashion_d2"])
    return cfg


def main(args):
    from detectron2.evaluation import verify_results
    from detectron2.utils import comm

    from kfashion_d2.checkpoint import KFashionCheckpointer

    cfg = setup(args)
    if args.eval_only:
        model = engine.Trainer.build_model(cfg)
        KFashionCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        results = engine.Trainer.test(cfg, model)
        if cfg.TEST.AUG.ENABLED:
            results.update(engine.Trainer.test_with_TTA(cfg, model))
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = engine.Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def invoke_main():
    try:
        with needs_detectron2():
            from detectron2.engine import default_argument_parser

            from kfashion_d2.engine.launch import launch
    except ModuleNotFoundError as error:
        sys.exit(f"train_net.py: error: {error}")
    parser = default_argument_parser()
    parser.add_argument("--num-cpus", type=int, default=0, help="train in this many CPU processes instead of on GPUs")
    args = parser.parse_args()
    launch(
        main,
        args.num_cpus or args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )


if __name__ == "__main__":
    invoke_main()
