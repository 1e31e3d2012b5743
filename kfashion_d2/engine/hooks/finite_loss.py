"""This module ends a training whose loss is not finite, with the images that it came from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.engine import HookBase
from torch import nn

from .last_batch import LastBatch

__all__ = ["NonFiniteLossError", "StopAtNonFiniteLoss"]

MAX_NAMES = 5


class NonFiniteLossError(FloatingPointError):
    """A loss is NaN or infinite; the message has the losses, the images and what is known of the weights."""


class StopAtNonFiniteLoss(HookBase):
    """
    This hook is for the trainer that runs the steps (a SimpleTrainer). It looks at the losses after the backward pass,
    where that trainer fetches them from the device anyway, and before the optimizer's step: the weights are as they
    were. The process that sees a bad loss raises, on its own images.
    """

    def __init__(self, model: nn.Module, last: LastBatch):
        """
        Keep the model and its last batch.

        Args:
            model: whose weights the message tells of.
            last: the model's last batch.
        """
        self._model = model
        self._last = last

    def after_backward(self):
        """
        Look at the losses.

        Raises:
            NonFiniteLossError: see there.
        """
        losses = self._last.losses
        if not losses:
            return
        values = dict(zip(losses, torch.stack([x.float() for x in losses.values()]).tolist(), strict=True))
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise NonFiniteLossError(
                f"at iteration {self.trainer.iter} {', '.join(bad)} became NaN or infinite.\n"
                f"Losses: {', '.join(f'{name} {value:.6g}' for name, value in values.items())}\n"
                f"{self._describe_images()}\n{self._describe_weights()}"
            )

    @contextmanager
    def named_divergence(self) -> Iterator[None]:
        """Give Detectron2's own error at boxes or scores that are not finite the images and weights, too."""
        try:
            yield
        except NonFiniteLossError:
            raise
        except FloatingPointError as error:
            raise NonFiniteLossError(f"{error}\n{self._describe_images()}\n{self._describe_weights()}") from error

    def _describe_images(self) -> str:
        batch = self._last.inputs
        return f"{len(batch)} images of this process: {'; '.join(map(_describe, batch))}"

    def _describe_weights(self) -> str:
        names = [name for name, x in self._model.state_dict().items() if not torch.isfinite(x).all()]
        if names:
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            return (
                f"Weights that are not finite already: {', '.join(names[:MAX_NAMES])}{more}. Look before these images: "
                "lower SOLVER.BASE_LR with SOLVER.RESET_LR_ON_RESUME True, or set SOLVER.CLIP_GRADIENTS, and resume "
                "from an earlier checkpoint (docs/training.md)"
            )
        return (
            "All weights are finite: look at these images and their labels; if they are sound, resume with a lower "
            "SOLVER.BASE_LR and SOLVER.RESET_LR_ON_RESUME True, or with SOLVER.AMP.ENABLED set SOLVER.AMP.PRECISION to "
            "bfloat16"
        )


def _describe(record: dict) -> str:
    garments = f", {len(record['instances'])} garments" if "instances" in record else ""
    return f"{record.get('file_name', 'no file name')} (image_id {record.get('image_id', 'none')}{garments})"
