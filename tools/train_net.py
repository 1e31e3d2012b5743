#!/usr/bin/env python
"""
Train or evaluate an Attribute R-CNN, in the shape of Detectron2's own tools/train_net.py.

    python tools/train_net.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml --num-gpus 8 \\
        DATASETS.KFASHION.ROOT datasets/kfashion OUTPUT_DIR output/r50
"""

from kfashion_d2 import engine
from kfashion_d2.utils.command_line import one_line_errors
from kfashion_d2.utils.lazy import needs_detectron2

TOOL = "train_net.py"


def checked_config(args):
    """Return the config of the run, whose mistakes are errors here, before anything is built or written."""
    from kfashion_d2.engine.run_checks import check_run

    cfg = engine.setup_config(args.config_file, args.opts)
    if args.num_cpus:
        cfg.MODEL.DEVICE = "cpu"
    if args.eval_only:
        cfg.TEST.MAX_EVAL_IMAGES = 0
    check_run(cfg, eval_only=args.eval_only, resume=args.resume, overwrite=args.overwrite)
    cfg.freeze()
    return cfg


def main(args):
    from detectron2.engine import default_setup
    from detectron2.evaluation import verify_results
    from detectron2.utils import comm

    from kfashion_d2.checkpoint import KFashionCheckpointer

    # What is wrong shows until the first iteration; an error in the loop keeps its traceback.
    with one_line_errors(TOOL):
        cfg = checked_config(args)
        engine.setup_loggers(cfg.OUTPUT_DIR)
        default_setup(cfg, args)
        if args.eval_only:
            model = engine.Trainer.build_model(cfg)
            KFashionCheckpointer(model, save_dir=cfg.OUTPUT_DIR).resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        else:
            trainer = engine.Trainer(cfg)
            trainer.resume_or_load(resume=args.resume)
    if not args.eval_only:
        return trainer.train()
    results = engine.Trainer.test(cfg, model)
    if cfg.TEST.AUG.ENABLED:
        results.update(engine.Trainer.test_with_TTA(cfg, model))
    if comm.is_main_process():
        verify_results(cfg, results)
    return results


def invoke_main():
    with one_line_errors(TOOL), needs_detectron2():
        from detectron2.engine import default_argument_parser

        from kfashion_d2.engine.launch import launch
        from kfashion_d2.engine.run_checks import check_num_gpus
    parser = default_argument_parser()
    parser.add_argument("--num-cpus", type=int, default=0, help="train in this many CPU processes instead of on GPUs")
    parser.add_argument("--overwrite", action="store_true", help="delete what an earlier training left in OUTPUT_DIR")
    args = parser.parse_args()
    processes = args.num_cpus or args.num_gpus
    if processes > 1:  # one message, not one for each
        with one_line_errors(TOOL):
            if not args.num_cpus:
                check_num_gpus(args.num_gpus)
            checked_config(args)
    with one_line_errors(TOOL, (), hint="the same command with --resume goes on from the last checkpoint"):
        launch(
            main,
            processes,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )


if __name__ == "__main__":
    invoke_main()
