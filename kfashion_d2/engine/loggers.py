"""This module sets up the loggers that a command line shows."""

from __future__ import annotations

from collections.abc import Iterable

from detectron2.utils import comm, logger

__all__ = ["setup_loggers"]


def setup_loggers(output: str | None = None, names: Iterable[str] = ("detectron2", "fvcore", "kfashion_d2")) -> None:
    """
    Show what Detectron2, fvcore and this package log, in Detectron2's format.

    Args:
        output: the folder that gets the file ``log.txt`` too; with several processes each has its own.
        names: the loggers.
    """
    for name in names:
        logger.setup_logger(output=output, distributed_rank=comm.get_rank(), name=name)
