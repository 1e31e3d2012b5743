"""
ROI heads with an attribute branch: one mixin beside Detectron2's own classes.

The branch follows the mask head's plan: in training it reads the sampled foreground proposals, in test it pools again
on the final boxes, so that given boxes, tracing and post-processing work as they do for masks.
"""

from __future__ import annotations

from .. import _needs_detectron2  # noqa: F401  # isort: skip

from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, StandardROIHeads, select_foreground_proposals
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from ..schema import AttributeSchema
from .attribute_head import build_attribute_head

__all__ = ["AttributeROIHeadsMixin", "AttributeStandardROIHeads"]


class AttributeROIHeadsMixin:
    """
    Adds the attribute branch to a ROI heads class; stands first among its bases.

    The sampled proposals are kept from `label_and_sample_proposals` to the end of `forward`, because not every class
    returns them. Trace such a model, do not script it.
    """

    @configurable
    def __init__(
        self, *, attribute_in_features: list[str], attribute_pooler: nn.Module, attribute_head: nn.Module, **kw
    ):
        """
        Args:
            attribute_in_features: names of the feature maps that the branch pools from.
            attribute_pooler: (list of feature maps, list of Boxes) -> float (R, C, H, W).
            attribute_head: see :class:`AttributeHead`.
            kw: the arguments of the class beside which the mixin stands.
        """
        super().__init__(**kw)
        self.attribute_in_features = attribute_in_features
        self.attribute_pooler = attribute_pooler
        self.attribute_head = attribute_head
        self._sampled: list[Instances] = []

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        ret.update(cls._init_attribute_head(cfg, input_shape))
        return ret

    @classmethod
    def _init_attribute_head(cls, cfg, input_shape: dict[str, ShapeSpec]) -> dict:
        node = cfg.MODEL.ROI_ATTRIBUTE_HEAD
        in_features = node.IN_FEATURES or cfg.MODEL.ROI_HEADS.IN_FEATURES
        resolution = node.POOLER_RESOLUTION
        pooler = ROIPooler(
            output_size=resolution,
            scales=tuple(1.0 / input_shape[name].stride for name in in_features),
            sampling_ratio=node.POOLER_SAMPLING_RATIO,
            pooler_type=node.POOLER_TYPE,
        )
        shape = ShapeSpec(channels=input_shape[in_features[0]].channels, height=resolution, width=resolution)
        return {
            "attribute_in_features": in_features,
            "attribute_pooler": pooler,
            "attribute_head": build_attribute_head(cfg, shape),
        }

    @property
    def attribute_schema(self) -> AttributeSchema:
        return self.attribute_head.schema

    def label_and_sample_proposals(self, proposals, targets):
        self._sampled = super().label_and_sample_proposals(proposals, targets)
        return self._sampled

    def forward(self, images, features, proposals, targets=None):
        instances, losses = super().forward(images, features, proposals, targets)
        if self.training:
            sampled, self._sampled = self._sampled, []
            # Background rows carry the labels of the object nearest to them: they must not train.
            foreground, _ = select_foreground_proposals(sampled, self.num_classes)
            losses.update(self._forward_attribute(features, foreground))
        return instances, losses

    def forward_with_given_boxes(self, features, instances):
        instances = super().forward_with_given_boxes(features, instances)
        return self._forward_attribute(features, instances)

    def _forward_mask(self, features, instances):
        # A garment without a sound polygon has its box's corners in the polygon's place: no mask to learn from.
        if self.training:
            instances = [x[x.gt_mask_valid] if x.has("gt_mask_valid") else x for x in instances]
        return super()._forward_mask(features, instances)

    def _forward_attribute(self, features: dict[str, Tensor], instances: list[Instances]):
        boxes = [x.proposal_boxes if self.training else x.pred_boxes for x in instances]
        return self.attribute_head(self._attribute_features(features, boxes), instances)

    def _attribute_features(self, features: dict[str, Tensor], boxes: list[Boxes]) -> Tensor:
        return self.attribute_pooler([features[name] for name in self.attribute_in_features], boxes)


@ROI_HEADS_REGISTRY.register()
class AttributeStandardROIHeads(AttributeROIHeadsMixin, StandardROIHeads):
    """Detectron2's StandardROIHeads (Faster and Mask R-CNN with FPN) with an attribute branch."""
