"""This module reads attributes from the true boxes of garments, where detection cannot fail."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ...schema import AttributeSchema
from .image import ImagePredictions, attribute_scores

__all__ = ["GTBoxAttributeReader"]

logger = logging.getLogger(__name__)


class GTBoxAttributeReader:
    """
    This reader scores the attributes of garments on their true boxes, while their images are evaluated.

    The model's backbone runs once for detections and true boxes: its features are caught by a forward hook, which
    lives from :meth:`start` to :meth:`stop`. Where they are missing, the reader says why, once, and turns itself off.

    Attributes:
        is_on (bool): whether :meth:`read` gives scores; False from the moment in which features were missing.
    """

    def __init__(self, model: nn.Module, schema: AttributeSchema):
        """
        Keep the model; nothing is caught before :meth:`start`.

        Args:
            model: a GeneralizedRCNN; DistributedDataParallel around it is looked through.
            schema: the groups of the model's ``pred_attributes``.
        """
        self._model: Any = model.module if isinstance(model, DistributedDataParallel) else model
        self._schema = schema
        self._hook: Any = None
        self.is_on = False
        self._features: dict[str, torch.Tensor] = {}
        self._batch_sizes: list[int] = []  # of the backbone's runs since the last call of read()

    def start(self) -> None:
        """Catch the backbone's features from now on."""
        self.stop()
        self.is_on = True
        if hasattr(self._model, "backbone") and hasattr(self._model, "roi_heads"):
            self._hook = self._model.backbone.register_forward_hook(self._catch_features)
        else:
            self._turn_off(f"{type(self._model).__name__} has no backbone and roi_heads")

    def stop(self) -> None:
        """Take the hook off the model, and let go of the features."""
        self._forget_features()
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def read(self, inputs: list[dict], garments: list[ImagePredictions]) -> list[np.ndarray] | None:
        """
        Score the garments of a batch with the features that the model has just computed for it.

        Args:
            inputs: the model's inputs, with "image" (C, H, W).
            garments: of each image, with "gt_boxes", "gt_classes" and "gt_parts".

        Returns:
            float32 (G, L) for each image; None where the features of this batch, or of one before it, are missing.
        """
        if not self.is_on:
            return None
        features, batch_sizes = self._features, self._batch_sizes
        self._forget_features()
        if batch_sizes != [len(inputs)]:
            self._turn_off(
                f"they need one run of the model's backbone on the {len(inputs)} inputs, "
                f"but it ran on batches of {batch_sizes} images"
            )
            return None
        if not any(len(garments_per_image["gt_boxes"]) for garments_per_image in garments):
            return [np.zeros((0, self._schema.num_labels), dtype=np.float32) for _ in garments]
        device = next(iter(features.values())).device
        given = [_on_network_input(x, g, device) for x, g in zip(inputs, garments, strict=True)]
        with torch.no_grad():
            described = self._model.roi_heads.forward_with_given_boxes(features, given)
        return [attribute_scores(instances, self._schema) for instances in described]

    def _catch_features(self, backbone: nn.Module, args: tuple, features: dict[str, torch.Tensor]) -> None:
        if not backbone.training:
            self._batch_sizes.append(len(args[0]))
            self._features = features

    def _forget_features(self) -> None:
        self._features, self._batch_sizes = {}, []

    def _turn_off(self, reason: str) -> None:
        logger.warning(f"No attribute metrics on ground-truth boxes: {reason}.")
        self.is_on = False
        self.stop()


def _on_network_input(input_per_image: dict, garments: ImagePredictions, device: torch.device) -> Instances:
    """
    Make detections of garments in the pixels that the network saw, which is what ``forward_with_given_boxes`` takes.
    """
    height, width = input_per_image["image"].shape[-2:]
    scale_x = width / input_per_image.get("width", width)
    scale_y = height / input_per_image.get("height", height)
    boxes = garments["gt_boxes"] * np.array([scale_x, scale_y, scale_x, scale_y])
    instances = Instances((height, width))
    instances.pred_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32, device=device))
    instances.scores = torch.ones(len(boxes), device=device)
    # An unknown class needs some valid id; what applies to the garment is decided by its part.
    instances.pred_classes = torch.as_tensor(garments["gt_classes"].astype(np.int64).clip(min=0), device=device)
    instances.parts = torch.as_tensor(garments["gt_parts"].astype(np.int64), device=device)
    return instances
