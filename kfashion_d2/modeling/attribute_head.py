"""
This module has the attribute head: region features in, attribute losses or scores out.

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

from ..schema import UNKNOWN, AttributeSchema
from .criterion import AttributeCriterion
from .label_prior import LabelPrior
from .losses import known_rows

__all__ = [
    "ROI_ATTRIBUTE_HEAD_REGISTRY",
    "AttributeHead",
    "attribute_probabilities",
    "build_attribute_head",
]

ROI_ATTRIBUTE_HEAD_REGISTRY = Registry("ROI_ATTRIBUTE_HEAD")
ROI_ATTRIBUTE_HEAD_REGISTRY.__doc__ = """
Registry for attribute heads, which predict the attributes of the garment in each region.

The registered object will be called with `obj(cfg, input_shape)`.
"""


def attribute_probabilities(logits: Tensor, schema: AttributeSchema) -> Tensor:
    """
    Turn float (R, L) logits into float (R, L) scores: softmax inside single-label groups, sigmoid in multi-label ones.
    """
    scores = []
    for group in schema.groups:
        columns = logits[:, schema.slice(group.name)]
        scores.append(columns.softmax(dim=1) if group.is_single else columns.sigmoid())
    return torch.cat(scores, dim=1)


@torch.no_grad()
def log_groups(logits: Tensor, targets: Tensor, schema: AttributeSchema, losses: Sequence[Tensor]) -> None:
    """
    Put what a batch of rows tells of every group into the event storage:

    - ``attribute/<group>_known``: rows of which something of the group is known;
    - ``attribute/<group>_loss``: its loss, before any weight;
    - ``attribute/<group>_accuracy``: of a single-label group, the share of known rows that are answered right;
    - ``attribute/<group>_micro_f1``: of a multi-label group, F1 of the answers (score 0.5) over all known entries, left
      out where no label is there and none is answered.

    The last three are left out where nothing is known. All of them cross from the device at once.

    Args:
        logits: float (R, L), those that inference would turn into scores.
        targets: int8 (R, L): 1 yes, 0 no, -1 unknown.
        losses: a float scalar for each group, in the schema's order.
    """
    facts = []
    for group, loss in zip(schema.groups, losses, strict=True):
        columns = schema.slice(group.name)
        x, t = logits[:, columns], targets[:, columns]
        if group.is_single:
            known = known_rows(t)
            counts = ((x.argmax(dim=1) == t.argmax(dim=1)) & known).sum(), known.sum()
        else:
            known = (t >= 0).any(dim=1)
            answers, labels = (x > 0) & (t >= 0), t == 1
            counts = 2 * (answers & labels).sum(), answers.sum() + labels.sum()
        facts.append(torch.stack([known.sum().float(), *(count.float() for count in counts), loss.float()]))
    storage = get_event_storage()
    for group, (rows, right, total, loss) in zip(schema.groups, torch.stack(facts).tolist(), strict=True):
        storage.put_scalar(f"attribute/{group.name}_known", rows)
        if rows:
            storage.put_scalar(f"attribute/{group.name}_loss", loss)
        if total:
            storage.put_scalar(f"attribute/{group.name}_{'accuracy' if group.is_single else 'micro_f1'}", right / total)


@ROI_ATTRIBUTE_HEAD_REGISTRY.register()
class AttributeHead(nn.Module):
    """
    This head is a few convolutions and fully connected layers, then one linear layer for all groups.

    Choices, each off by default:

    - `class_embed_dim`: a vector of the garment's class (the true one in training, the predicted one in test) beside
      the features of the last layer;
    - `class_prior`: the logits are added to log P(label | class), counted from the training set;
    - `mask_impossible`: labels that cannot occur on the garment's part leave the softmax, and score 0.

    Attributes:
        trains_on_background (bool): whether it is to be given all sampled proposals, not the foreground alone.
        calibration (Calibration | None): what its scores pass in test; :class:`KFashionCheckpointer` sets it. No part
            of the state dict: it is of these weights, and the first step of training ends it.
    """

    trains_on_background = False
    calibration = None

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
        criterion: AttributeCriterion | None = None,
        class_embed_dim: int = 0,
        class_prior: bool = False,
        mask_impossible: bool = False,
    ):
        """
        Build the layers.

        Args:
            input_shape: of the features; without height and width they are float (R, C).
            schema: the groups to predict.
            class_parts: for every class of the detector, the id of its part in the schema.
            conv_dims, fc_dims: output sizes of the layers before the last one.
            norm: normalisation of the convolutions; see :func:`detectron2.layers.get_norm`.
            loss_weight: multiplier of the loss.
            criterion: the loss; None: cross-entropy and BCE, equal weights.
            class_embed_dim, class_prior, mask_impossible: see above.
        """
        super().__init__()
        self.schema = schema
        self.loss_weight = loss_weight
        self.criterion = criterion or AttributeCriterion(schema)
        self.mask_impossible = mask_impossible
        self.trunk: nn.Module = nn.Identity()
        shape = ShapeSpec(input_shape.channels, input_shape.height or 1, input_shape.width or 1)
        if conv_dims or fc_dims:
            self.trunk = FastRCNNConvFCHead(shape, conv_dims=conv_dims, fc_dims=fc_dims, conv_norm=norm)
            shape = self.trunk.output_shape
        self.num_features = shape.channels * (shape.height or 1) * (shape.width or 1) + class_embed_dim
        # The last vector is for garments of unknown class.
        self.class_embedding = nn.Embedding(len(class_parts) + 1, class_embed_dim) if class_embed_dim else None
        self.class_prior = class_prior
        self.prior = LabelPrior(schema, len(class_parts)) if class_prior or self.criterion.needs_prior else None
        self.predictor = nn.Linear(self.num_features, schema.num_labels)
        nn.init.normal_(self.predictor.weight, std=0.01)
        nn.init.zeros_(self.predictor.bias)
        for group in schema.groups:
            if not group.is_single and not class_prior:
                # Most labels of a multi-label group are absent: begin there, as for rare classes (arXiv 1708.02002).
                bias = self.predictor.bias[schema.slice(group.name)]
                nn.init.constant_(bias, -math.log(max(group.num_labels - 1, 1)))
        # Not in the checkpoint: they follow from the schema and the class mode.
        self.register_buffer("class_parts", torch.tensor(class_parts, dtype=torch.int64), persistent=False)
        self.register_buffer("applicable", torch.from_numpy(schema.applicable), persistent=False)
        self.register_buffer("possible", torch.from_numpy(schema.possible), persistent=False)

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec) -> dict:
        node = cfg.MODEL.ROI_ATTRIBUTE_HEAD
        schema = AttributeSchema.from_config(cfg)
        options = {name.lower(): value for name, value in node.LOSS.items()}
        return {
            "input_shape": input_shape,
            "schema": schema,
            "class_parts": schema.class_parts(cfg.DATASETS.KFASHION.CLASSES),
            "conv_dims": [node.CONV_DIM] * node.NUM_CONV,
            "fc_dims": [node.FC_DIM] * node.NUM_FC,
            "norm": node.NORM,
            "loss_weight": node.LOSS_WEIGHT,
            "criterion": AttributeCriterion(schema, group_weights=node.GROUP_WEIGHTS, **options),
            "class_embed_dim": node.CLASS_EMBED_DIM,
            "class_prior": node.CLASS_PRIOR,
            "mask_impossible": node.MASK_IMPOSSIBLE,
        }

    @property
    def needs_label_counts(self) -> bool:
        """Say whether :meth:`set_label_counts` makes a difference."""
        return self.prior is not None

    def set_label_counts(self, yes, known) -> None:
        """Give the counts of the training set; see :meth:`LabelPrior.set_counts`. Checkpoints keep them."""
        if self.prior is not None:
            self.prior.set_counts(yes, known)

    def layers(self, x: Tensor, classes: Tensor) -> Tensor:
        """Compute float (R, L) logits of float (R, C, H, W) or (R, C) features, and int64 (R,) classes (K: unknown)."""
        if x.dim() == 2:
            x = x[:, :, None, None]
        x = self.trunk(x).flatten(start_dim=1)
        if self.class_embedding is not None:
            x = torch.cat([x, self.class_embedding(classes).to(x.dtype)], dim=1)
        logits = self.predictor(x)
        return logits + self.prior.class_logits()[classes] if self.class_prior else logits

    def forward(self, x: Tensor, instances: list[Instances]):
        """
        Compute the loss in training, and `pred_attributes` in test.

        Args:
            x: float (R, C, H, W) or (R, C), the RoIs of all images in order.
            instances: N Instances. In training the foreground proposals, with `gt_classes` and `gt_attributes`; in
                test those to describe, with `pred_classes` and, where the garment's part is known, `parts`.

        Returns:
            A dict of losses in training. In test the instances, with `pred_attributes` float (N, L).
        """
        classes, parts = self._classes_and_parts(instances)
        logits = self.layers(x, classes)
        if self.training:
            self.calibration = None
            return {"loss_attribute": self.losses(logits, parts, instances) * self.loss_weight}
        scores = self.scores(logits, parts)
        if self.calibration is not None:
            scores = self.calibration.apply(scores)
        # A traced graph must not remember how many garments its one picture had.
        rows = [scores] if len(instances) == 1 else scores.split([len(i) for i in instances])
        for image, row in zip(instances, rows, strict=True):
            image.pred_attributes = row
        return instances

    def _classes_and_parts(self, instances: list[Instances]) -> tuple[Tensor, Tensor]:
        """Return int64 (R,) each: classes, K where unknown or background; and parts, that of class 0 for background."""
        name = "gt_classes" if self.training else "pred_classes"
        classes = torch.cat([getattr(i, name) for i in instances])
        num_classes = len(self.class_parts)
        parts = self.class_parts[classes.clamp(max=num_classes - 1)]
        if not self.training:
            given = torch.cat([i.parts if i.has("parts") else self.class_parts[i.pred_classes] for i in instances])
            # A class of another part stands in for an unknown one.
            classes, parts = torch.where(given == parts, classes, num_classes), given
        return classes, parts

    def targets(self, instances: list[Instances]) -> Tensor:
        """
        Return the label rows of all regions, int8 (R, L). Images without a garment carry no `gt_attributes`: their rows
        are unknown.
        """
        blank = self.applicable.new_full((1, self.schema.num_labels), UNKNOWN, dtype=torch.int8)
        rows = [i.gt_attributes if i.has("gt_attributes") else blank.expand(len(i), -1) for i in instances]
        return torch.cat(rows)

    def losses(self, logits: Tensor, parts: Tensor, instances: list[Instances]) -> Tensor:
        """Compute the loss of float (R, L) logits, a scalar."""
        targets = self.targets(instances)
        prior = None if self.prior is None else self.prior.labels()
        allowed = self.possible[parts] if self.mask_impossible else None
        losses = self.criterion.group_losses(logits, targets, prior, allowed)
        log_groups(self.answerable(logits, parts), targets, self.schema, list(losses.values()))
        return self.criterion.balance(losses, targets)

    def scores(self, logits: Tensor, parts: Tensor) -> Tensor:
        """Compute `pred_attributes`, float (R, L); groups that do not apply to the garment's part are 0."""
        return attribute_probabilities(self.answerable(logits, parts), self.schema) * self.applicable[parts]

    def answerable(self, logits: Tensor, parts: Tensor) -> Tensor:
        """Return float (R, L) logits without those of labels that cannot occur on the part, where these are masked."""
        if not self.mask_impossible:
            return logits
        return logits.masked_fill(~self.possible[parts], torch.finfo(logits.dtype).min)


def build_attribute_head(cfg, input_shape: ShapeSpec) -> nn.Module:
    """
    Build the attribute head named by `cfg.MODEL.ROI_ATTRIBUTE_HEAD.NAME`.
    """
    return ROI_ATTRIBUTE_HEAD_REGISTRY.get(cfg.MODEL.ROI_ATTRIBUTE_HEAD.NAME)(cfg, input_shape)
