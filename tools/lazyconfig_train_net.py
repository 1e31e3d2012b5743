#!/usr/bin/env python
"""
Train or evaluate a LazyConfig, called as Detectron2's tool of the same name, whose options it has.

    python tools/lazyconfig_train_net.py --config-file configs/lazy/attribute_rcnn_R_50_FPN_1x.py --num-gpus 8 \\
        kfashion.root=datasets/kfashion train.output_dir=output/r50
"""

import sys

from kfashion_d2 import engine
from kfashion_d2.utils.lazy import needs_detectron2


def main(args):
    from detectron2.config import LazyConfig
    from detectron2.engine import default_setup

    from kfashion_d2.checkpoint import KFashionCheckpointer
    from kfashion_d2.engine.lazy_trainer import build_lazy_model, evaluate_lazy, train_lazy

    cfg = LazyConfig.apply_overrides(LazyConfig.load(args.config_file), args.opts)
    default_setup(cfg, args)
    # default_setup logs for detectron2 and fvcore alone.
    engine.setup_loggers(cfg.train.output_dir, names=["kfashion_d2"])
    if not args.eval_only:
        return train_lazy(cfg, resume=args.resume)
    model = build_lazy_model(cfg)
    checkpointer = KFashionCheckpointer(model, cfg.train.output_dir)
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=args.resume)
    return evaluate_lazy(cfg, model)


def invoke_main():
    try:
        with needs_detectron2():
            from detectron2.engine import default_argument_parser

            from kfashion_d2.engine.launch import launch
    except ModuleNotFoundError as error:
        sys.exit(f"lazyconfig_train_net.py: error: {error}")
    args = default_argument_parser().parse_args()
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )


if __name__ == "__main__":
    invoke_main()
