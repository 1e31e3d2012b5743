"""This module lets a resumed training take its learning rates from the config in the place of the checkpoint."""

from __future__ import annotations

import logging
from typing import Any

from torch.optim import Optimizer

__all__ = ["base_learning_rates", "settle_learning_rates"]

logger = logging.getLogger(__name__)


def base_learning_rates(optimizer: Optimizer) -> list[float]:
    """List the learning rate of each parameter group before the schedule multiplies it."""
    return [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]


def settle_learning_rates(
    optimizer: Optimizer, scheduler: Any | None, configured: list[float], *, reset: bool, key: str
) -> None:
    """
    Say, after a checkpoint was loaded, that its learning rates are others than the config's, or reset them to these.

    Args:
        optimizer: as loaded.
        scheduler: Detectron2's LRMultiplier, as loaded; None: it is built later, from the optimizer.
        configured: :func:`base_learning_rates` before the checkpoint was loaded.
        reset: whether the config's are to be taken.
        key: what sets `reset`, for the message.
    """
    loaded = base_learning_rates(optimizer)
    if loaded == configured:
        return
    if not reset:
        logger.warning(
            "the learning rate is the checkpoint's (base %g), not the config's (base %g): set %s to True to take that",
            max(loaded),
            max(configured),
            key,
        )
        return
    logger.info("the base learning rate is the config's, %g; the checkpoint's was %g", max(configured), max(loaded))
    for group, rate in zip(optimizer.param_groups, configured, strict=True):
        group["initial_lr"] = rate
    if scheduler is not None:
        scheduler.base_lrs = list(configured)
        for group, rate in zip(optimizer.param_groups, scheduler.get_lr(), strict=True):
            group["lr"] = rate
