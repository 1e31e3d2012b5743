#!/usr/bin/env python
"""
Train or evaluate a LazyConfig, called as Detectron2's tool of the same name, whose options it has.

    python tools/lazyconfig_train_net.py --config-file configs/lazy/attribute_rcnn_R_50_FPN_1x.py --num-gpus 8 \\
        kfashion.root=datasets/kfashion train.output_dir=output/r50
"""

from kfashion_d2 import engine
from kfashion_d2.utils.command_line import one_line_errors
from kfashion_d2.utils.lazy import needs_detectron2

TOOL = "lazyconfig_train_net.py"


def checked_config(args):
    """Return the config of the run; what is wrong with its folder and its weights is an error here."""
    from kfashion_d2.engine.lazy_trainer import check_lazy_run, load_lazy_config

    cfg = load_lazy_config(args.config_file, args.opts)
    check_lazy_run(cfg, eval_only=args.eval_only, resume=args.resume, overwrite=args.overwrite)
    return cfg


def main(args):
    from detectron2.engine import default_setup

    from kfashion_d2.checkpoint import KFashionCheckpointer
    from kfashion_d2.engine.lazy_trainer import build_lazy_model, evaluate_lazy, train_lazy

    with one_line_errors(TOOL):
        cfg = checked_config(args)
        engine.setup_loggers(cfg.train.output_dir)
        default_setup(cfg, args)
        if args.eval_only:
            model = build_lazy_model(cfg)
            checkpointer = KFashionCheckpointer(model, cfg.train.output_dir)
            checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=args.resume)
    if not args.eval_only:
        return train_lazy(cfg, resume=args.resume)
    return evaluate_lazy(cfg, model)


def invoke_main():
    with one_line_errors(TOOL), needs_detectron2():
        from detectron2.engine import default_argument_parser

        from kfashion_d2.engine.launch import launch
        from kfashion_d2.engine.run_checks import check_num_gpus
    parser = default_argument_parser()
    parser.add_argument(
        "--overwrite", action="store_true", help="delete what an earlier training left in train.output_dir"
    )
    args = parser.parse_args()
    if args.num_gpus > 1:  # one message, not one for each
        with one_line_errors(TOOL):
            check_num_gpus(args.num_gpus)
            checked_config(args)
    with one_line_errors(TOOL, (), hint="the same command with --resume goes on from the last checkpoint"):
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
