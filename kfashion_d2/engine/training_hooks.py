"""This module has the list of hooks that a training runs with, whichever kind of config described it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter
from torch import nn

from ..checkpoint import KFashionCheckpointer
from .hooks.best_checkpoint import BestCheckpoint
from .hooks.broken_images import CountBrokenImages
from .hooks.ema import ModelEMA, UpdateEMA
from .hooks.interrupt import SaveAtInterrupt
from .hooks.last_batch import LastBatch
from .hooks.seed_iterations import SeedIterations

__all__ = ["training_hooks"]


def training_hooks(
    *,
    seed: int,
    scheduler: HookBase,
    last_batch: LastBatch,
    model: nn.Module,
    ema: ModelEMA | None,
    checkpointer: KFashionCheckpointer,
    checkpointing: Mapping[str, Any],
    evaluate: Callable[[], Mapping[str, Any]],
    eval_period: int,
    best_checkpoint: BestCheckpoint | None,
    build_writers: Callable[[], Sequence[EventWriter]],
    log_period: int = 20,
    precise_bn: HookBase | None = None,
) -> list[HookBase]:
    """
    List Detectron2's hooks and ours in the order in which they depend on each other.

    What changes the weights comes first, then what saves them, then the evaluation (if it fails, the checkpoint is
    there), and last the writers, so that they see the evaluation's metrics.

    Args:
        seed: of every iteration.
        scheduler: of the learning rate.
        last_batch: what the model was last given.
        model: what trains, without DistributedDataParallel around it.
        ema: its moving average, if there is one.
        checkpointer: of the training.
        checkpointing: arguments of Detectron2's PeriodicCheckpointer, as ``{"period": 5000}``.
        evaluate: gives the results of an evaluation, on the main process.
        eval_period: iterations between two evaluations; 0: one at the end.
        best_checkpoint: keeps the best checkpoint, or stops early, if asked for.
        build_writers: called on the main process alone.
        log_period: iterations between two lines of the log.
        precise_bn: measures the statistics of batch normalisation before they are saved, if asked for.
    """
    is_main = comm.is_main_process()
    listed = [
        SeedIterations(seed),
        hooks.IterationTimer(),
        scheduler,
        CountBrokenImages(last_batch),
        UpdateEMA(ema, model) if ema else None,
        precise_bn,
        hooks.PeriodicCheckpointer(checkpointer, **checkpointing) if is_main else None,
        SaveAtInterrupt(checkpointer),
        hooks.EvalHook(eval_period, evaluate),
        best_checkpoint,
        hooks.PeriodicWriter(build_writers(), period=log_period) if is_main else None,
    ]
    return [hook for hook in listed if hook is not None]
