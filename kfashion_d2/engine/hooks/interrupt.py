"""This module lets Ctrl-C end a training between two iterations, with a checkpoint to go on from."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

from ...checkpoint import KFashionCheckpointer

__all__ = ["SaveAtInterrupt"]

logger = logging.getLogger(__name__)


class SaveAtInterrupt(HookBase):
    """
    This hook ends the training after the iteration in which the first SIGINT arrives, saves a checkpoint and raises
    KeyboardInterrupt; a second one ends it at once. It stands behind the hooks that change what is saved, and before
    the evaluation, which an interrupt ends at once: its iteration is over.

    It does nothing in a training of several processes, which would stop at different iterations, or outside of the main
    thread, or where SIGINT is ignored, as by nohup.
    """

    def __init__(self, checkpointer: KFashionCheckpointer):
        self._checkpointer = checkpointer
        self._previous: Any = None
        self._is_in_step = self._is_requested = False

    def before_train(self):
        is_main = comm.get_world_size() == 1 and threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._previous = signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: Any) -> None:
        is_first, self._is_requested = not self._is_requested, True
        if not (self._is_in_step and is_first):
            raise KeyboardInterrupt

    def before_step(self):
        self._is_in_step = True

    def after_step(self):
        self._is_in_step = False
        if self._is_requested:
            raise KeyboardInterrupt

    def after_train(self):
        if self._previous is None:
            return
        signal.signal(signal.SIGINT, self._previous)
        self._previous = None
        if self._is_requested and not self._is_in_step and self.trainer.iter < self.trainer.max_iter:
            name = f"model_{self.trainer.iter:07d}"
            self._checkpointer.save(name, iteration=self.trainer.iter)
            logger.warning("Stopped at iteration %d and saved %s.pth: --resume goes on", self.trainer.iter, name)
