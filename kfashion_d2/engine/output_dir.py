"""This module looks at what an earlier training left in an output folder before another one writes there."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch

__all__ = ["check_folder", "check_max_iter", "check_output_dir"]

logger = logging.getLogger(__name__)

# What a training writes beside the folders of its evaluations; these are overwritten file by file.
WRITTEN = ("last_checkpoint", "model_*.pth", "metrics.json", "events.out.tfevents.*", "log.txt*", "config.yaml")


def check_output_dir(
    output_dir: str, *, max_iter: int, weights: str = "", resume: bool = False, overwrite: bool = False
) -> None:
    """
    Refuse an output folder that holds another training, unless it is to be resumed or overwritten.

    Args:
        output_dir: where the training will write.
        max_iter: iterations of the training.
        weights: what it starts from.
        resume: whether it goes on from the last checkpoint there.
        overwrite: whether the files of the earlier training go.

    Raises:
        FileExistsError: there is an earlier training, and neither was asked for.
        NotADirectoryError, PermissionError: nothing can be written there.
        ValueError: `max_iter` is below what the checkpoint to resume from has done, or overwriting would delete
            `weights`.
    """
    check_folder(output_dir)
    folder = Path(output_dir)
    tag = folder / "last_checkpoint"
    if not tag.is_file():
        return
    if resume:
        _check_checkpoint(folder / tag.read_text("utf-8").strip(), max_iter)
    elif overwrite:
        _remove(folder, weights)
    else:
        raise FileExistsError(
            f"OUTPUT_DIR {output_dir} holds another training ({tag.read_text('utf-8').strip()}): go on with it by "
            "--resume, delete it by --overwrite, or name another folder"
        )


def check_folder(output_dir: str) -> None:
    """
    Refuse an output folder in which nothing can be written.

    Raises:
        NotADirectoryError, PermissionError: the message names the path that is in the way.
    """
    folder = Path(output_dir).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"OUTPUT_DIR {output_dir}: {existing} is a file; name a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f"OUTPUT_DIR {output_dir}: {existing} cannot be written to")


def check_max_iter(done: int, max_iter: int, checkpoint: str | Path) -> None:
    """
    Refuse to resume behind the end.

    Raises:
        ValueError: more iterations are done than there are to be.
    """
    if done > max_iter:
        raise ValueError(
            f"{checkpoint} has {done} iterations behind it, but MAX_ITER is {max_iter}: set it to {done} or more, "
            "or train into another OUTPUT_DIR"
        )


def _check_checkpoint(path: Path, max_iter: int) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path}, which the file last_checkpoint beside it names, is not there")
    iteration = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("iteration")
    if iteration is not None:
        check_max_iter(iteration + 1, max_iter, path)


def _remove(folder: Path, weights: str) -> None:
    files = [path for pattern in WRITTEN for path in folder.glob(pattern) if path.is_file()]
    if weights and any(path.resolve() == Path(weights).resolve() for path in files):
        raise ValueError(f"--overwrite would delete MODEL.WEIGHTS {weights}: name another OUTPUT_DIR")
    for path in files:
        path.unlink()
    logger.info("Deleted %d files of an earlier training in %s", len(files), folder)
