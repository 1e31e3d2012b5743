"""This module finds what is wrong with a run before it reads data or starts processes."""

from __future__ import annotations

from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec

from ..checkpoint import check_weights_file, find_weights
from ..modeling import AttributeHead
from ..modeling.config_checks import check_attribute_branch, check_compiled_operators
from .output_dir import check_folder, check_output_dir
from .setup import amp_precision

__all__ = ["check_num_gpus", "check_run"]


def check_num_gpus(num_gpus: int) -> None:
    """
    Refuse more processes than there are CUDA devices; one may run on the CPU.

    Raises:
        ValueError: the message says how to train on the CPU.
    """
    available = torch.cuda.device_count()
    if num_gpus > max(available, 1):
        raise ValueError(
            f"--num-gpus is {num_gpus}, but this machine has {available} CUDA devices: ask for no more, or train on "
            "the CPU, with train_net.py --num-cpus N"
        )


def check_run(cfg: CfgNode, *, eval_only: bool = False, resume: bool = False, overwrite: bool = False) -> None:
    """
    Refuse a training or an evaluation that cannot end well, before anything is built or written.

    Args:
        cfg: of the run.
        eval_only: whether nothing trains.
        resume: whether the last checkpoint in ``OUTPUT_DIR`` is taken, if there is one.
        overwrite: whether an earlier training in ``OUTPUT_DIR`` is deleted.

    Raises:
        ValueError, OSError: the message names the key, its value and the remedy.
    """
    check_attribute_branch(cfg)
    check_compiled_operators(cfg)
    AttributeHead.from_config(cfg, ShapeSpec(channels=1))  # which makes the losses
    if cfg.SOLVER.AMP.ENABLED and not eval_only:
        amp_precision(cfg.SOLVER.AMP.PRECISION, cfg.MODEL.DEVICE)
    if cfg.SOLVER.IMS_PER_BATCH < 1:
        raise ValueError(f"SOLVER.IMS_PER_BATCH is {cfg.SOLVER.IMS_PER_BATCH}: set it to at least 1")
    resumes = resume and Path(cfg.OUTPUT_DIR, "last_checkpoint").is_file()
    if eval_only:
        check_folder(cfg.OUTPUT_DIR)
        if not resumes:
            find_weights(cfg)
        return
    if cfg.MODEL.WEIGHTS and not resumes:
        check_weights_file(cfg.MODEL.WEIGHTS)
    check_output_dir(
        cfg.OUTPUT_DIR,
        max_iter=cfg.SOLVER.MAX_ITER,
        weights=cfg.MODEL.WEIGHTS,
        resume=resume,
        overwrite=overwrite,
    )
