"""This module keeps an exponential moving average of the weights, as torch does, with a warm-up."""

from __future__ import annotations

import torch
from detectron2.engine import HookBase
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["ModelEMA", "UpdateEMA"]


class ModelEMA(AveragedModel):
    """
    This is torch's AveragedModel around a copy of the model: `module` is the model to evaluate.

    Floating-point buffers (the statistics of batch normalisation) are averaged as the weights are, other buffers
    copied. The first update copies the model; update n then keeps `decay` of the average, with `warmup` at most
    (1 + n) / (10 + n), as TensorFlow's ExponentialMovingAverage does.
    """

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = True):
        """
        Copy the model.

        Raises:
            ValueError: `decay` is not between 0 and 1.
        """
        if not 0 <= decay < 1:
            raise ValueError(f"SOLVER.EMA.DECAY is {decay}: it is a share, at least 0 and below 1")
        super().__init__(model, multi_avg_fn=self._average, use_buffers=True)
        self.requires_grad_(False)
        self.decay = decay
        self.warmup = warmup

    def decay_now(self) -> float:
        """Return what the next update keeps."""
        n = int(self.n_averaged)
        return min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay

    def _average(self, averages: list[Tensor], values: list[Tensor], num_averaged) -> None:
        # In place, and all tensors of a device and type at once. (n_averaged lies on the CPU: nothing waits for it.)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - self.decay_now())
        else:
            torch._foreach_copy_(averages, values)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        super().update_parameters(model)


class UpdateEMA(HookBase):
    """This hook updates the average after every optimizer step; it stands before the hooks that save and evaluate."""

    def __init__(self, ema: ModelEMA, model: nn.Module):
        """
        Keep the average and the model.

        Args:
            model: what trains, without DistributedDataParallel around it.
        """
        self._ema = ema
        self._model = model

    def after_step(self):
        self._ema.update_parameters(self._model)
        head = getattr(getattr(self._ema.module, "roi_heads", None), "attribute_head", None)
        if head is not None:
            head.calibration = None  # it was of the weights before, as the model's is
