"""This module has Detectron2's launch, with processes that leave their group before they end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from detectron2.engine import defaults
from detectron2.engine import launch as launch_processes
from torch.multiprocessing import ProcessExitedException

__all__ = ["ddp_without_device", "launch"]


def launch(main_func: Callable[..., Any], num_processes: int, *, args: tuple = (), **kw: Any) -> None:
    """
    Call ``detectron2.engine.launch``. Its processes end while gloo's threads still run, and now and then one of them
    aborts with "terminate called without an active exception", though all its work was done.

    Args:
        main_func: what each process calls, with `args`; of a module, so that it can be pickled.
        num_processes: on this machine; 1 calls `main_func` here.
        kw: ``num_machines``, ``machine_rank``, ``dist_url``, ``timeout``.

    Raises:
        SystemExit: a process ended so; the exit code is the same.
    """
    try:
        launch_processes(_run, num_processes, args=(main_func, args), **kw)
    except ProcessExitedException as error:
        if error.signal_name is not None:
            raise
        raise SystemExit(error.exit_code) from None  # the process has said why


def _run(main_func: Callable[..., Any], args: tuple) -> None:
    main_func(*args)
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


@contextmanager
def ddp_without_device() -> Iterator[None]:
    """
    Let a DefaultTrainer that is built meanwhile train on the CPU in several processes.

    It names a CUDA device to DistributedDataParallel, which refuses one for a model on the CPU, and takes no argument
    to leave it out.
    """
    create_ddp_model = defaults.create_ddp_model
    defaults.create_ddp_model = functools.partial(create_ddp_model, device_ids=None)
    try:
        yield
    finally:
        defaults.create_ddp_model = create_ddp_model
