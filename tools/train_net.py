#!/usr/bin/env python
"""
Train or evaluate an Attribute R-CNN, in the shape of Detectron2's own tools/train_net.py.

    python tools/train_net.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml --num-gpus 8 \\
        DATASETS.KFASHION.ROOT datasets/kfashion OUTPUT_DIR output/r50
"""

import kfashion_d2._needs_detectron2  # noqa: F401  # isort: skip

import sys

from detectron2.engine import default_argument_parser, default_setup
from detectron2.evaluation import verify_results
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.engine import Trainer, setup_config
from kfashion_d2.engine.launch import launch


def setup(args):
    try:
        cfg = setup_config(args.config_file, args.opts)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"train_net.py: error: {error}")
    if args.num_cpus:
        cfg.MODEL.DEVICE = "cpu"
    if args.eval_only:
        cfg.TEST.MAX_EVAL_IMAGES = 0
    cfg.freeze()
    default_setup(cfg, args)
    # default_setup logs for detectron2 and fvcore alone.
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="kfashion_d2")
    return cfg


def main(args):
    cfg = setup(args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        KFashionCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        results = Trainer.test(cfg, model)
        if cfg.TEST.AUG.ENABLED:
            results.update(Trainer.test_with_TTA(cfg, model))
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def invoke_main():
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
