"""This module counts the images that training had to skip, over all processes and their data loader workers."""

from __future__ import annotations

import logging

from detectron2.engine import HookBase
from detectron2.utils import comm

from .last_batch import LastBatch

__all__ = ["CountBrokenImages"]

logger = logging.getLogger(__name__)

MAX_NAMES = 20


class CountBrokenImages(HookBase):
    """
    This hook reads `broken_images` of the batches (see :class:`SkipBrokenImages`). The event storage gets
    ``data/broken_images``, the number of different ones so far; the log, their names at the end. Checkpoints keep them.
    """

    def __init__(self, last: LastBatch, period: int = 20):
        """
        Start with none.

        Args:
            last: the model's last batch.
            period: iterations between two exchanges of the processes.
        """
        self._last = last
        self._period = period
        self._names: set[str] = set()

    def after_step(self):
        for record in self._last.inputs:
            self._names.update(record.get("broken_images", ()))
        step = self.trainer.iter + 1
        if step % self._period == 0 or step == self.trainer.max_iter:
            self._names.update(*comm.all_gather(self._names))
            self.trainer.storage.put_scalar("data/broken_images", len(self._names), smoothing_hint=False)

    def after_train(self):
        if self._names and comm.is_main_process():
            names = sorted(self._names)
            more = f", and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            logger.warning(
                "%d images were broken, and others trained in their place: %s%s",
                len(names),
                ", ".join(names[:MAX_NAMES]),
                more,
            )

    def state_dict(self) -> dict:
        return {"names": sorted(self._names)}

    def load_state_dict(self, state: dict) -> None:
        self._names = set(state["names"])
