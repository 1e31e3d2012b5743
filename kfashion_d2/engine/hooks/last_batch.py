"""This module keeps what a model was last given in training, for the hooks that want to know."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["LastBatch"]


class LastBatch:
    """
    This object has the inputs and losses of the model's last training step.

    Attributes:
        inputs (list[dict]): the mapped dicts of this process.
        losses (dict[str, Tensor]): detached scalars, on the model's device; empty until the step has them.
    """

    def __init__(self, model: nn.Module):
        """
        Watch a model.

        Args:
            model: what the trainer calls with a batch, and gives a dict of losses; DistributedDataParallel is fine.
        """
        self.inputs: list[dict] = []
        self.losses: dict[str, torch.Tensor] = {}
        model.register_forward_pre_hook(self._keep_inputs)
        model.register_forward_hook(self._keep_losses)

    def _keep_inputs(self, model: nn.Module, args: tuple) -> None:
        if model.training:
            self.inputs, self.losses = args[0], {}

    def _keep_losses(self, model: nn.Module, args: tuple, losses) -> None:
        if model.training and isinstance(losses, dict):
            self.losses = {name: loss.detach() for name, loss in losses.items()}
