"""
This module has test-time augmentation: boxes and masks from all views, attributes and style from the image as it came.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNNWithTTA
from detectron2.structures import Instances

from .attribute_rcnn import AttributeRCNN

__all__ = ["AttributeRCNNWithTTA"]


class AttributeRCNNWithTTA(GeneralizedRCNNWithTTA):
    """
    This is Detectron2's GeneralizedRCNNWithTTA for a model with an attribute branch.

    A flipped or rescaled view has nothing to add to a label, so `pred_attributes` are read once, on the merged boxes in
    the image as it came, and with them an :class:`AttributeRCNN`'s style scores.
    """

    def _inference_one_image(self, input: dict[str, Any]) -> dict[str, Any]:
        with self._turn_off_roi_heads(["attribute_on"]):
            instances = super()._inference_one_image(dict(input))["instances"]
        height, width = input["image"].shape[1:]
        given = Instances((height, width), pred_boxes=instances.pred_boxes.clone(), pred_classes=instances.pred_classes)
        given.pred_boxes.scale(width / input["width"], height / input["height"])
        with self._turn_off_roi_heads(["mask_on"]), torch.no_grad():
            if isinstance(self.model, AttributeRCNN):
                (described,), (style,) = self.model.inference_with_style([input], [given])
            else:
                (described,), style = self.model.inference([input], [given], do_postprocess=False), {}
        instances.pred_attributes = described.pred_attributes.to(instances.pred_classes.device)
        return {"instances": instances, **style}
