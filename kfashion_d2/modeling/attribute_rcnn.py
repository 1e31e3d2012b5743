"""This module has a Generalized R-CNN that also says the style of the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN
from detectron2.structures import Instances
from torch import Tensor, nn

from ..schema import UNKNOWN
from .style_head import StyleHead

__all__ = ["AttributeRCNN"]

# Of the call that runs: threads that share a model must not get each other's features.
_caught: ContextVar[list[dict[str, Tensor]] | None] = ContextVar("features of the backbone", default=None)


def _catch(backbone: nn.Module, args: tuple, features: dict[str, Tensor]) -> None:
    caught = _caught.get()
    if caught is not None:
        caught.append(features)


@contextmanager
def _catching() -> Iterator[list[dict[str, Tensor]]]:
    """Give a list that gets what a backbone with the hook `_catch` returns inside the block."""
    token = _caught.set([])
    try:
        yield _caught.get()  # type: ignore[misc]
    finally:
        _caught.reset(token)


@META_ARCH_REGISTRY.register()
class AttributeRCNN(GeneralizedRCNN):
    """
    This model is Detectron2's GeneralizedRCNN, with a head for the style of the image on the features that its backbone
    made.

    In training the inputs have "style" and "sub_style", ints as in the dataset dicts (-1 or missing: unknown), and the
    losses "loss_style" and "loss_sub_style". In test each output also has "style_scores" and "sub_style_scores", float
    (S,). The keys of the sub-style are there where the head predicts it.
    """

    @configurable
    def __init__(self, *, style_head: StyleHead, **kw: Any):
        """
        Build the model around its parts.

        Args:
            style_head: see :class:`StyleHead`.
            kw: the arguments of GeneralizedRCNN.
        """
        super().__init__(**kw)
        self.style_head = style_head
        self.backbone.register_forward_hook(_catch)

    @classmethod
    def from_config(cls, cfg):
        ret = super().from_config(cfg)
        return {**ret, "style_head": StyleHead(cfg, ret["backbone"].output_shape())}

    def forward(self, batched_inputs: list[dict[str, Any]]):
        if not self.training:
            return self.inference(batched_inputs)
        with _catching() as caught:
            losses = super().forward(batched_inputs)
        labels = {
            task: torch.tensor([int(x.get(task, UNKNOWN)) for x in batched_inputs], device=self.device)
            for task in self.style_head.tasks
        }
        losses.update(self.style_head.losses(self._style_logits(caught, batched_inputs), labels))
        return losses

    def inference(
        self,
        batched_inputs: list[dict[str, Any]],
        detected_instances: list[Instances] | None = None,
        do_postprocess: bool = True,
    ):
        """
        Predict as GeneralizedRCNN does; without post-processing the style is left out (see
        :meth:`inference_with_style`).
        """
        with _catching() as caught:
            results = super().inference(batched_inputs, detected_instances, do_postprocess)
        if do_postprocess:
            logits = self._style_logits(caught, batched_inputs)
            results = [{**r, **s} for r, s in zip(results, self.style_head.scores(logits), strict=True)]
        return results

    def inference_with_style(
        self, batched_inputs: list[dict[str, Any]], detected_instances: list[Instances] | None = None
    ) -> tuple[list[Instances], list[dict[str, Tensor]]]:
        """Return the instances without post-processing, and for each image the dict of its style scores."""
        with _catching() as caught:
            instances = super().inference(batched_inputs, detected_instances, do_postprocess=False)
        return instances, self.style_head.scores(self._style_logits(caught, batched_inputs))

    def _style_logits(self, caught: list[dict[str, Tensor]], batched_inputs: list[dict]) -> dict[str, Tensor]:
        (features,) = caught
        return self.style_head(features, [x["image"].shape[-2:] for x in batched_inputs])
