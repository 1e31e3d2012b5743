"""This module trains and evaluates LazyConfigs, with what :class:`Trainer` adds to Detectron2's loop."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.engine import AMPTrainer, SimpleTrainer, create_ddp_model, hooks
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from ..checkpoint import KFashionCheckpointer, check_weights_file
from ..modeling import AttributeROIHeadsMixin
from .hooks.best_checkpoint import BestCheckpoint, StopTraining
from .hooks.ema import ModelEMA
from .hooks.finite_loss import StopAtNonFiniteLoss
from .hooks.last_batch import LastBatch
from .label_counts import set_label_counts
from .learning_rates import base_learning_rates, settle_learning_rates
from .loaders import start_at_iteration
from .output_dir import check_max_iter, check_output_dir
from .setup import amp_precision
from .training_hooks import training_hooks
from .writers import build_writers

__all__ = ["build_lazy_model", "check_lazy_run", "evaluate_lazy", "load_lazy_config", "train_lazy"]

logger = logging.getLogger(__name__)


def build_lazy_model(cfg: DictConfig) -> nn.Module:
    """
    Build the model on ``train.device``, or on the CPU where there is no CUDA.

    Raises:
        ValueError: the number of classes is not that of ``kfashion.classes``.
    """
    if cfg.train.device.startswith("cuda") and not torch.cuda.is_available():
        logger.warning("train.device is %s, but no CUDA device is available: running on the CPU", cfg.train.device)
        cfg.train.device = "cpu"
    model = instantiate(cfg.model)
    heads = getattr(model, "roi_heads", None)
    if not isinstance(heads, AttributeROIHeadsMixin):
        raise ValueError(
            f"model.roi_heads is {type(heads).__name__}, which has no attribute branch: set model.roi_heads._target_ "
            "to one of kfashion_d2.modeling's Attribute*ROIHeads"
        )
    if heads.num_classes != len(heads.attribute_head.class_parts):
        raise ValueError(
            f"model.roi_heads.num_classes is {heads.num_classes}, but kfashion.classes {cfg.kfashion.classes!r} has "
            f"{len(heads.attribute_head.class_parts)}: make them agree"
        )
    return model.to(cfg.train.device)


def load_lazy_config(config_file: str, overrides: Sequence[str] = ()) -> DictConfig:
    """
    Load a LazyConfig and apply overrides, as ``train.max_iter=100``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no LazyConfig of this package's shape, or an override is none.
    """
    if not PathManager.isfile(config_file):
        raise FileNotFoundError(f"no config file {config_file!r}; the shipped ones are in configs/lazy/")
    if not config_file.endswith((".py", ".yaml", ".yml")):
        raise ValueError(f"{config_file} is no LazyConfig: name a .py file, as those in configs/lazy/")
    try:
        cfg = LazyConfig.apply_overrides(LazyConfig.load(config_file), list(overrides))
    except (
        AttributeError,
        KeyError,
        SyntaxError,
        TypeError,
        ValueError,
        HydraException,
        OmegaConfBaseException,
    ) as error:
        words = f" with {' '.join(overrides)}" if overrides else ""
        raise ValueError(f"{config_file}{words}: {' '.join(str(error).split())}") from error
    missing = [name for name in ("dataloader", "kfashion", "model", "train") if name not in cfg]
    if missing:
        raise ValueError(f"{config_file} has no {', '.join(missing)}: begin with one of configs/lazy/")
    return cfg


def check_lazy_run(cfg: DictConfig, *, eval_only: bool = False, resume: bool = False, overwrite: bool = False) -> None:
    """
    Refuse a run whose weights or output folder cannot be; as :func:`check_run` does for yaml configs.

    Raises:
        ValueError, OSError: the message names the value and the remedy.
    """
    options = cfg.train
    resumes = resume and Path(options.output_dir, "last_checkpoint").is_file()
    if options.init_checkpoint and not resumes:
        check_weights_file(options.init_checkpoint)
    if not eval_only:
        check_output_dir(
            options.output_dir,
            max_iter=options.max_iter,
            weights=options.init_checkpoint,
            resume=resume,
            overwrite=overwrite,
        )
    elif not (resumes or options.init_checkpoint):
        raise ValueError("train.init_checkpoint is empty: name the checkpoint to evaluate")


def clip_gradients(optimizer: torch.optim.Optimizer, options: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Let the optimizer clip before its steps, as ``SOLVER.CLIP_GRADIENTS`` does, by ``train.clip_gradients``."""
    cfg = get_cfg()
    for key, value in options.items():
        cfg.SOLVER.CLIP_GRADIENTS[key.upper()] = value
    return maybe_add_gradient_clipping(cfg, optimizer)


def evaluate_lazy(cfg: DictConfig, model: nn.Module) -> dict[str, Any]:
    """Return the results of ``dataloader.{test,evaluator}``; empty in other processes than the main one."""
    loader = instantiate(cfg.dataloader.test)  # registers the data
    evaluator = instantiate({**cfg.dataloader.evaluator, "model": model})
    results = inference_on_dataset(model, loader, evaluator) or {}
    if comm.is_main_process():
        print_csv_format(results)
    return results


def train_lazy(cfg: DictConfig, *, resume: bool = False) -> dict[str, Any]:
    """
    Train what the config says; see ``configs/lazy/common/train.py`` for the keys of ``train``.

    Args:
        resume: go on from the last checkpoint in ``train.output_dir``, if there is one.

    Returns:
        dict: the last evaluation's results.

    Raises:
        ValueError: a setting cannot be.
    """
    options = cfg.train
    if options.seed < 0:
        options.seed = comm.shared_random_seed()
    net = build_lazy_model(cfg)
    precision = amp_precision(options.amp.precision, options.device) if options.amp.enabled else None
    cfg.optimizer.params.model = net
    optimizer = clip_gradients(instantiate(cfg.optimizer), options.clip_gradients)
    loader = instantiate(cfg.dataloader.train)
    ema = ModelEMA(net, options.ema.decay, warmup=options.ema.warmup) if options.ema.enabled else None
    model = create_ddp_model(net, **options.ddp, **({"device_ids": None} if options.device == "cpu" else {}))
    if precision is None:
        trainer = SimpleTrainer(model, loader, optimizer)
    else:
        scaler = torch.amp.GradScaler("cuda", enabled=precision is torch.float16)
        trainer = AMPTrainer(model, loader, optimizer, grad_scaler=scaler, precision=precision)
    checkpointer = KFashionCheckpointer(model, options.output_dir, ema=ema, trainer=trainer)
    last_batch = LastBatch(model)
    results: dict[str, Any] = {}

    def evaluate() -> dict[str, Any]:
        results.clear()
        results.update(evaluate_lazy(cfg, net if ema is None else ema.module))
        return results

    best_checkpoint = None
    if options.best.metric:
        best_checkpoint = BestCheckpoint(
            options.best.metric,
            checkpointer,
            lambda: results,
            eval_period=options.eval_period,
            mode=options.best.mode,
            patience=options.best.patience,
            min_delta=options.best.min_delta,
            checkpoint_period=options.checkpointer.period,
        )
    finite_loss = StopAtNonFiniteLoss(net, last_batch)
    trainer.register_hooks(
        [
            finite_loss,
            *training_hooks(
                seed=options.seed,
                scheduler=hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
                last_batch=last_batch,
                model=net,
                ema=ema,
                checkpointer=checkpointer,
                checkpointing=options.checkpointer,
                evaluate=evaluate,
                eval_period=options.eval_period,
                best_checkpoint=best_checkpoint,
                build_writers=lambda: build_writers(options.output_dir, options.max_iter),
                log_period=options.log_period,
            ),
        ]
    )
    configured = base_learning_rates(optimizer)
    checkpointer.resume_or_load(options.init_checkpoint, resume=resume)
    start = trainer.iter + 1 if resume and checkpointer.has_checkpoint() else 0
    if start:
        check_max_iter(start, options.max_iter, checkpointer.get_checkpoint_file())
        settle_learning_rates(
            optimizer, None, configured, reset=options.reset_lr_on_resume, key="train.reset_lr_on_resume"
        )
    if start == 0:  # after loading: weights of another training set bring their counts along
        names = cfg.dataloader.train.dataset.names
        set_label_counts(net, [names] if isinstance(names, str) else names)
    if start and not start_at_iteration(loader, start):
        logger.warning("the data loader begins anew: it is not one of batch_training_images")
    try:
        with finite_loss.named_divergence():
            trainer.train(start, options.max_iter)
    except StopTraining as stop:
        logger.info("Stopped at iteration %d: %s", trainer.iter, stop)
    return results
