"""This module ends a training whose loss is not finite, with the images that it came from."""

from __future__ import annotations

import math

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
        batch, losses = self._last.inputs, self._last.losses
        if not losses:
            return
        values = dict(zip(losses, torch.stack([x.float() for x in losses.values()]).tolist(), strict=True))
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise NonFiniteLossError(
                f"at iteration {self.trainer.iter} {', '.join(bad)} became NaN or infinite.\n"
                f"Losses: {', '.join(f'{name} {value:.6g}' for name, value in values.items())}\n"
                f"{len(batch)} images of this process: {'; '.join(map(_describe, batch))}\n{self._describe_weights()}"
            )

    def _describe_weights(self) -> str:
        names = [name for name, x in self._model.state_dict().items() if not torch.isfinite(x).all()]
        if names:
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            return (
                f"Weights that are not finite already: {', '.join(names[:MAX_NAMES])}{more}. Look before these images: "
                "lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_ITERS or set SOLVER.CLIP_GRADIENTS, and resume from an "
                "earlier checkpoint"
            )
        return (
            "All weights are finite: look at these images and their labels; if they are sound, lower SOLVER.BASE_LR, "
            "or with SOLVER.AMP.ENABLED set SOLVER.AMP.PRECISION to bfloat16"
        )


def _describe(record: dict) -> str:
    garments = f", {len(record['instances'])} garments" if "instances" in record else ""
    return f"{record.get('file_name', 'no file name')} (image_id {record.get('image_id', 'none')}{garments})"
