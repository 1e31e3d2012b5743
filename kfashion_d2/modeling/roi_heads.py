"""
This module has ROI heads with an attribute branch: one mixin beside Detectron2's own classes.

The branch follows the mask head's plan: in training it reads the sampled foreground proposals, in test it pools again
on the final boxes, so that given boxes, tracing and post-processing work as they do for masks.
"""

from __future__ import annotations

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import (
    ROI_HEADS_REGISTRY,
    CascadeROIHeads,
    Res5ROIHeads,
    StandardROIHeads,
    select_foreground_proposals,
)
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from ..schema import UNKNOWN, AttributeSchema
from .attribute_head import build_attribute_head
from .num_classes import check_num_classes

__all__ = [
    "AttributeCascadeROIHeads",
    "AttributeROIHeadsMixin",
    "AttributeRes5ROIHeads",
    "AttributeStandardROIHeads",
]


def _drop_invalid_masks(mask_head: nn.Module, args: tuple[Tensor, list[Instances]]):
    """
    Drop, as a mask head's forward-pre hook, garments without a sound polygon: they have their box's corners in the
    polygon's place, and no mask to learn from.
    """
    x, instances = args
    if not mask_head.training:
        return None
    keep = [i.gt_mask_valid if i.has("gt_mask_valid") else x.new_ones(len(i), dtype=torch.bool) for i in instances]
    return x[torch.cat(keep)], [i[k] for i, k in zip(instances, keep, strict=True)]


class AttributeROIHeadsMixin:
    """
    This mixin adds the attribute branch to a ROI heads class; it stands first among its bases.

    The sampled proposals are kept from `label_and_sample_proposals` to the end of `forward`, because not every class
    returns them. Trace such a model, do not script it.

    Attributes:
        attribute_on (bool): whether test-time calls predict attributes; as `mask_on` for masks.
    """

    @configurable
    def __init__(
        self,
        *,
        attribute_head: nn.Module,
        attribute_pooler: nn.Module | None = None,
        attribute_in_features: list[str] | None = None,
        **kw,
    ):
        """
        Keep the branch, and what it reads.

        Args:
            attribute_head: see :class:`AttributeHead`.
            attribute_pooler: (list of feature maps, list of Boxes) -> float (R, C, H, W); None: the branch reads
                what the box predictor reads.
            attribute_in_features: names of the feature maps that the pooler reads.
            kw: the arguments of the class beside which the mixin stands.
        """
        super().__init__(**kw)
        self.attribute_on = True
        self.attribute_in_features = attribute_in_features
        self.attribute_pooler = attribute_pooler
        self.attribute_head = attribute_head
        self._sampled: list[Instances] = []

    @classmethod
    def from_config(cls, cfg, input_shape):
        cfg = cfg.clone()
        cfg.defrost()
        check_num_classes(cfg)
        ret = super().from_config(cfg, input_shape)
        ret.update(cls._init_attribute_head(cfg, input_shape, ret))
        return ret

    @classmethod
    def _init_attribute_head(cls, cfg, input_shape: dict[str, ShapeSpec], ret: dict) -> dict:
        """Build the branch's arguments; `ret` has those of the class beside which the mixin stands."""
        node = cfg.MODEL.ROI_ATTRIBUTE_HEAD
        if node.FEATURES == "box":
            return {"attribute_head": build_attribute_head(cfg, cls._box_features_shape(ret))}
        if node.FEATURES != "own":
            raise ValueError(f"MODEL.ROI_ATTRIBUTE_HEAD.FEATURES is {node.FEATURES!r}; choose own or box")
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
        if any(len(image) and not image.has("gt_attributes") for image in targets):
            raise ValueError(
                "garments without gt_attributes would not train the attribute branch: load the images with "
                "kfashion_d2.data.AttributeDatasetMapper, as kfashion_d2.engine.Trainer does, in the place of "
                "Detectron2's DatasetMapper"
            )
        self._sampled = super().label_and_sample_proposals(proposals, targets)
        return self._sampled

    def forward(self, images, features, proposals, targets=None):
        instances, losses = super().forward(images, features, proposals, targets)
        if self.training:
            sampled, self._sampled = self._sampled, []
            losses.update(self._attribute_losses(features, sampled))
        return instances, losses

    def forward_with_given_boxes(self, features, instances):
        instances = super().forward_with_given_boxes(features, instances)
        if not self.attribute_on:
            return instances
        x = self._attribute_features(features, [i.pred_boxes for i in instances])
        return self.attribute_head(x, instances)

    def _attribute_losses(self, features: dict[str, Tensor], sampled: list[Instances]) -> dict[str, Tensor]:
        if not getattr(self.attribute_head, "trains_on_background", False):
            # Background rows carry the labels of the object nearest to them: they must not train.
            sampled, _ = select_foreground_proposals(sampled, self.num_classes)
        x = self._attribute_features(features, [i.proposal_boxes for i in sampled])
        return self.attribute_head(x, sampled)

    def _attribute_features(self, features: dict[str, Tensor], boxes: list[Boxes]) -> Tensor:
        if self.attribute_pooler is None:
            return self._box_features(features, boxes)
        return self.attribute_pooler([features[name] for name in self.attribute_in_features], boxes)

    # What the classes differ in: the features that their (last) box predictor reads.

    @classmethod
    def _box_features_shape(cls, ret: dict) -> ShapeSpec:
        raise NotImplementedError

    def _box_features(self, features: dict[str, Tensor], boxes: list[Boxes]) -> Tensor:
        raise NotImplementedError


class _FPNMixin(AttributeROIHeadsMixin):
    """This mixin is for classes that have a box pooler and one box head, or one for each stage."""

    @classmethod
    def _box_features_shape(cls, ret):
        return (ret["box_heads"][-1] if "box_heads" in ret else ret["box_head"]).output_shape

    def _box_features(self, features, boxes):
        head = self.box_head[-1] if isinstance(self.box_head, nn.ModuleList) else self.box_head
        return head(self.box_pooler([features[name] for name in self.box_in_features], boxes))

    def _forward_mask(self, features, instances):
        if self.training:  # see _drop_invalid_masks; here they leave before they are pooled
            instances = [x[x.gt_mask_valid] if x.has("gt_mask_valid") else x for x in instances]
        return super()._forward_mask(features, instances)


@ROI_HEADS_REGISTRY.register()
class AttributeStandardROIHeads(_FPNMixin, StandardROIHeads):
    """These heads are Detectron2's StandardROIHeads (Faster and Mask R-CNN with FPN) with an attribute branch."""


@ROI_HEADS_REGISTRY.register()
class AttributeCascadeROIHeads(_FPNMixin, CascadeROIHeads):
    """
    These heads are Detectron2's CascadeROIHeads with an attribute branch, which trains on the proposals of the first
    stage (the later ones have no labels but the class) and in test reads the boxes of the last one.
    """

    def _match_and_label_boxes(self, proposals, stage, targets):
        # A proposal matched anew to a garment of unknown class is neither background nor a class: it leaves.
        proposals = super()._match_and_label_boxes(proposals, stage, targets)
        return [x[x.gt_classes != UNKNOWN] for x in proposals]


@ROI_HEADS_REGISTRY.register()
class AttributeRes5ROIHeads(AttributeROIHeadsMixin, Res5ROIHeads):
    """
    These heads are Detectron2's Res5ROIHeads (C4 models) with an attribute branch; box features are the mean over
    res5's cells.
    """

    @configurable
    def __init__(self, **kw):
        super().__init__(**kw)
        if self.mask_on:
            self.mask_head.register_forward_pre_hook(_drop_invalid_masks)

    @classmethod
    def _box_features_shape(cls, ret):
        return ShapeSpec(channels=ret["res5"][-1].out_channels)

    def _box_features(self, features, boxes):
        return self._shared_roi_transform([features[name] for name in self.in_features], boxes).mean(dim=[2, 3])
