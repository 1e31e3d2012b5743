"""
The attribute head: region features in, attribute losses or scores out.

Shapes: N images, R RoIs of all images together, L labels of all groups together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from ..schema import AttributeSchema
from .losses import known_rows, multi_label_loss, single_label_loss

__all__ = [
    "ROI_ATTRIBUTE_HEAD_REGISTRY",
    "AttributeHead",
    "attribute_losses",
    "attribute_probabilities",
    "build_attribute_head",
]

ROI_ATTRIBUTE_HEAD_REGISTRY = Registry("ROI_ATTRIBUTE_HEAD")
ROI_ATTRIBUTE_HEAD_REGISTRY.__doc__ = """
Registry for attribute heads, which predict the attributes of the garment in each region.

The registered object will be called with `obj(cfg, input_shape)`.
"""


def attribute_losses(logits: Tensor, targets: Tensor, schema: AttributeSchema) -> dict[str, Tensor]:
    """
    Every group's own loss: softmax cross-entropy for single-label groups, binary cross-entropy for multi-label ones.

    Args:
        logits: float (R, L).
        targets: int8 (R, L): 1 yes, 0 no, -1 unknown.

    Returns:
        dict: group name -> float scalar, 0 where nothing is known.
    """
    losses = {}
    for group in schema.groups:
        columns = schema.slice(group.name)
        loss = single_label_loss if group.is_single else multi_label_loss
        losses[group.name] = loss(logits[:, columns], targets[:, columns])
    return losses


def attribute_probabilities(logits: Tensor, schema: AttributeSchema) -> Tensor:
    """float (R, L) logits to float (R, L) scores: softmax inside single-label groups, sigmoid in multi-label ones."""
    scores = []
    for group in schema.groups:
        columns = logits[:, schema.slice(group.name)]
        scores.append(columns.softmax(dim=1) if group.is_single else columns.sigmoid())
    return torch.cat(scores, dim=1)


@torch.no_grad()
def log_accuracy(logits: Tensor, targets: Tensor, schema: AttributeSchema) -> None:
    """
    Put every group's accuracy on the batch's foreground into the event storage, as ``attribute/<group>_accuracy``:
    of known rows for single-label groups, of known entries (score 0.5) for multi-label ones. Groups of which nothing
    is known are left out.
    """
    storage = get_event_storage()
    for group in schema.groups:
        columns = schema.slice(group.name)
        known = targets[:, columns] >= 0
        if group.is_single:
            rows = known_rows(targets[:, columns])
            right = logits[rows, columns].argmax(dim=1) == targets[rows, columns].argmax(dim=1)
        else:
            right = ((logits[:, columns] > 0) == (targets[:, columns] == 1))[known]
        if right.numel():
            storage.put_scalar(f"attribute/{group.name}_accuracy", right.float().mean().item())


@ROI_ATTRIBUTE_HEAD_REGISTRY.register()
class AttributeHead(nn.Module):
    """
    A few convolutions and fully connected layers, then one linear layer for all groups.
    """

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        schema: AttributeSchema,
        class_parts: tuple[int, ...],
        conv_dims: list[int],
        fc_dims: list[int],
        norm: str = "",
        loss_weight: float = 1.0,
        group_weights: Sequence[float] = (),
    ):
        """
        Args:
            input_shape: of the features; without height and width they are float (R, C).
            schema: the groups to predict.
            class_parts: for every class of the detector, the id of its part in the schema.
            conv_dims, fc_dims: output sizes of the layers before the last one.
            norm: normalisation of the convolutions; see :func:`detectron2.layers.get_norm`.
            loss_weight: multiplier of the loss.
            group_weights: a multiplier for every group's loss, in the schema's order; empty: 1 for all.

        Raises:
            ValueError: `group_weights` has another length than the schema has groups.
        """
        super().__init__()
        if group_weights and len(group_weights) != len(schema.groups):
            raise ValueError(
                f"MODEL.ROI_ATTRIBUTE_HEAD.GROUP_WEIGHTS has {len(group_weights)} values for the "
                f"{len(schema.groups)} groups {', '.join(schema.group_names)}; give one each, or none"
            )
        self.schema = schema
        self.loss_weight = loss_weight
        self.group_weights = tuple(group_weights) or (1.0,) * len(schema.groups)
        self.trunk: nn.Module = nn.Identity()
        shape = ShapeSpec(input_shape.channels, input_shape.height or 1, input_shape.width or 1)
        if conv_dims or fc_dims:
            self.trunk = FastRCNNConvFCHead(shape, conv_dims=conv_dims, fc_dims=fc_dims, conv_norm=norm)
            shape = self.trunk.output_shape
        self.predictor = nn.Linear(shape.channels * (shape.height or 1) * (shape.width or 1), schema.num_labels)
        nn.init.normal_(self.predictor.weight, std=0.01)
        nn.init.zeros_(self.predictor.bias)
        for group in schema.groups:
            if not group.is_single:
                # Most labels of a multi-label group are absent: begin there, as for rare classes (arXiv 1708.02002).
                bias = self.predictor.bias[schema.slice(group.name)]
                nn.init.constant_(bias, -math.log(max(group.num_labels - 1, 1)))
        # Not in the checkpoint: both follow from the schema and the class mode.
        self.register_buffer("class_parts", torch.tensor(class_parts, dtype=torch.int64), persistent=False)
        self.register_buffer("applicable", torch.from_numpy(schema.applicable), persistent=False)

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec) -> dict:
        node = cfg.MODEL.ROI_ATTRIBUTE_HEAD
        schema = AttributeSchema.from_config(cfg)
        return {
            "input_shape": input_shape,
            "schema": schema,
            "class_parts": schema.class_parts(cfg.DATASETS.KFASHION.CLASSES),
            "conv_dims": [node.CONV_DIM] * node.NUM_CONV,
            "fc_dims": [node.FC_DIM] * node.NUM_FC,
            "norm": node.NORM,
            "loss_weight": node.LOSS_WEIGHT,
            "group_weights": node.GROUP_WEIGHTS,
        }

    def layers(self, x: Tensor) -> Tensor:
        """float (R, C, H, W) or (R, C) features to float (R, L) logits."""
        if x.dim() == 2:
            x = x[:, :, None, None]
        return self.predictor(self.trunk(x).flatten(start_dim=1))

    def forward(self, x: Tensor, instances: list[Instances]):
        """
        Args:
            x: float (R, C, H, W) or (R, C), the RoIs of all images in order.
            instances: N Instances. In training the foreground proposals, with `gt_attributes`; in test those to
                describe, with `pred_classes` and, where the garment's part is known, `parts`.

        Returns:
            A dict of losses in training. In test the instances, with `pred_attributes` float (N, L).
        """
        logits = self.layers(x)
        if not self.training:
            self.inference(logits, instances)
            return instances
        return {"loss_attribute": self.losses(logits, instances)}

    def losses(self, logits: Tensor, instances: list[Instances]) -> Tensor:
        """The weighted sum of the groups' losses, a scalar. Images without foreground carry no `gt_attributes`."""
        rows = [x.gt_attributes for x in instances if len(x) > 0]
        targets = torch.cat(rows) if rows else logits.new_empty((0, self.schema.num_labels), dtype=torch.int8)
        log_accuracy(logits, targets, self.schema)
        losses = attribute_losses(logits, targets, self.schema)
        weighted = [loss * weight for loss, weight in zip(losses.values(), self.group_weights, strict=True)]
        return torch.stack(weighted).sum() * self.loss_weight

    def inference(self, logits: Tensor, instances: list[Instances]) -> None:
        """Set `pred_attributes`; groups that do not apply to the garment's part are 0."""
        scores = attribute_probabilities(logits, self.schema)
        for scores_per_image, instances_per_image in zip(
            scores.split([len(x) for x in instances]), instances, strict=True
        ):
            if instances_per_image.has("parts"):
                parts = instances_per_image.parts
            else:
                parts = self.class_parts[instances_per_image.pred_classes]
            instances_per_image.pred_attributes = scores_per_image * self.applicable[parts]


def build_attribute_head(cfg, input_shape: ShapeSpec) -> nn.Module:
    """
    Build the attribute head named by `cfg.MODEL.ROI_ATTRIBUTE_HEAD.NAME`.
    """
    return ROI_ATTRIBUTE_HEAD_REGISTRY.get(cfg.MODEL.ROI_ATTRIBUTE_HEAD.NAME)(cfg, input_shape)
