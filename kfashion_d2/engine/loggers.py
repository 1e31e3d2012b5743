"""This module sets up the loggers that a command line shows."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable

from detectron2.utils import comm, logger

__all__ = ["setup_loggers"]

_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def setup_loggers(output: str | None = None, names: Iterable[str] = ("detectron2", "fvcore", "kfashion_d2")) -> None:
    """
    Show what Detectron2, fvcore and this package log, in Detectron2's format.

    Args:
        output: the folder that gets the file ``log.txt`` too, without colours; with several processes each has its own.
            Call this before Detectron2's ``default_setup``, whose first lines are then without colours as well.
        names: the loggers.
    """
    for name in names:
        if output is None:
            logger.setup_logger(distributed_rank=comm.get_rank(), name=name)
            continue
        # Called as default_setup calls it: with equal arguments, the second call adds no handlers.
        options = {} if name == "detectron2" else {"name": name}
        logger.setup_logger(output, distributed_rank=comm.get_rank(), **options)
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream not in (sys.stdout, sys.stderr):
                handler.setFormatter(_WithoutColors(handler.formatter))


class _WithoutColors(logging.Formatter):
    """This formatter takes the terminal's colours out of what another one gives."""

    def __init__(self, formatter: logging.Formatter | None):
        super().__init__()
        self._formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return _COLORS.sub("", self._formatter.format(record))
