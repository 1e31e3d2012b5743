"""
This module has the style head: backbone features in, losses or scores of the whole image's style out.

Shapes: N images, S styles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ..schema import UNKNOWN, AttributeSchema
from .losses import known_rows, single_label_loss

__all__ = ["StyleHead", "pool_images"]


def pool_images(features: Tensor, image_sizes: Sequence[Sequence[int]], stride: int) -> Tensor:
    """
    Compute each image's mean over the cells that see it, so that a score does not depend on the padding of the batch.

    Args:
        features: float (N, C, H, W).
        image_sizes: N (height, width), in pixels of the network's input, without padding.
        stride: pixels between two cells.

    Returns:
        float (N, C).
    """
    # Rounded up without negative numbers, which ONNX divides differently.
    return torch.stack(
        [
            x[:, : (height + stride - 1) // stride, : (width + stride - 1) // stride].mean(dim=(1, 2))
            for x, (height, width) in zip(features, image_sizes, strict=True)
        ]
    )


def label_rows(ids: Tensor, num_labels: int) -> Tensor:
    """Turn int64 (N,) ids, -1 unknown, into int8 (N, num_labels) rows: one 1 each, all -1 where unknown."""
    rows = torch.arange(num_labels, device=ids.device) == ids[:, None]
    return torch.where(ids[:, None] == UNKNOWN, UNKNOWN, rows.to(torch.int8))


class StyleHead(nn.Module):
    """
    This head pools feature maps over the image and lays them side by side; then come fully connected layers, and a
    linear layer for the style and one for the sub-style.

    Attributes:
        num_styles (int): S.
        tasks (tuple[str]): what it predicts: "style" and, where it is on, "sub_style"; also the keys under which the
            model's inputs have their labels.
    """

    @configurable
    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        in_features: Sequence[str],
        num_styles: int,
        fc_dims: Sequence[int] = (),
        sub_style: bool = True,
        loss_weight: float = 1.0,
        gradient_scale: float = 1.0,
        label_smoothing: float = 0.0,
        tau: float = 0.0,
    ):
        """
        Build the layers.

        Args:
            input_shape: of the backbone's feature maps, by name.
            in_features: names of those that are pooled.
            num_styles: S.
            fc_dims: output sizes of the layers before the last ones.
            sub_style: whether the sub-style is predicted, too.
            loss_weight: multiplier of both losses.
            gradient_scale: multiplier of the gradient that reaches the feature maps.
            label_smoothing: share of a target that is spread over all styles.
            tau: of the logit-adjusted loss (arXiv 2007.07314), whose prior :meth:`set_style_counts` gives; 0: plain
                cross-entropy.
        """
        super().__init__()
        self.in_features = tuple(in_features)
        self.strides = tuple(input_shape[name].stride for name in in_features)
        self.num_styles = num_styles
        self.tasks = ("style", "sub_style") if sub_style else ("style",)
        self.loss_weight = loss_weight
        self.gradient_scale = gradient_scale
        self.label_smoothing = label_smoothing
        self.tau = tau
        shape = ShapeSpec(channels=sum(input_shape[name].channels for name in in_features), height=1, width=1)
        self.trunk: nn.Module = nn.Identity()
        if fc_dims:
            self.trunk = FastRCNNConvFCHead(shape, conv_dims=[], fc_dims=list(fc_dims))
            shape = self.trunk.output_shape
        self.predictors = nn.ModuleDict({task: nn.Linear(shape.channels, num_styles) for task in self.tasks})
        for predictor in self.predictors.values():
            nn.init.normal_(predictor.weight, std=0.01)
            nn.init.zeros_(predictor.bias)
        # In the checkpoint, as the attribute head's counts are.
        counts = torch.zeros((len(self.tasks), num_styles), dtype=torch.int64) if tau else None
        self.register_buffer("counts", counts)

    @classmethod
    def from_config(cls, cfg, input_shape: Mapping[str, ShapeSpec]) -> dict:
        node = cfg.MODEL.STYLE_HEAD
        if node.LOSS not in ("cross_entropy", "logit_adjusted"):
            raise ValueError(f"MODEL.STYLE_HEAD.LOSS is {node.LOSS!r}; choose cross_entropy or logit_adjusted")
        in_features = node.IN_FEATURES or cfg.MODEL.ROI_HEADS.IN_FEATURES
        absent = [name for name in in_features if name not in input_shape]
        if absent:
            raise ValueError(
                f"MODEL.STYLE_HEAD.IN_FEATURES names {', '.join(absent)}; the backbone has {', '.join(input_shape)}"
            )
        return {
            "input_shape": input_shape,
            "in_features": in_features,
            "num_styles": len(AttributeSchema.from_config(cfg).styles),
            "fc_dims": [node.FC_DIM] * node.NUM_FC,
            "sub_style": node.SUB_STYLE,
            "loss_weight": node.LOSS_WEIGHT,
            "gradient_scale": node.GRADIENT_SCALE,
            "label_smoothing": node.LABEL_SMOOTHING,
            "tau": node.TAU if node.LOSS == "logit_adjusted" else 0.0,
        }

    @property
    def needs_style_counts(self) -> bool:
        """Say whether :meth:`set_style_counts` makes a difference."""
        return bool(self.tau)

    def set_style_counts(self, counts) -> None:
        """
        Give the training set's counts: int64 (2, S), images of each style and of each sub-style.

        Raises:
            ValueError: the shape is another.
        """
        if not self.tau:
            return
        counts = torch.as_tensor(counts)
        if counts.shape != (2, self.num_styles):
            raise ValueError(f"style counts of shape {tuple(counts.shape)}, expected {(2, self.num_styles)}")
        self.counts.copy_(counts[: len(self.tasks)])

    def forward(self, features: Mapping[str, Tensor], image_sizes: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """
        Compute the losses in training, and the scores in test.

        Args:
            features: float (N, C, H, W) maps by name.
            image_sizes: see :func:`pool_images`.

        Returns:
            dict: task -> float (N, S) logits.
        """
        pooled = [
            pool_images(features[name], image_sizes, stride)
            for name, stride in zip(self.in_features, self.strides, strict=True)
        ]
        x = torch.cat(pooled, dim=1)
        if self.gradient_scale != 1:
            x = x.detach().lerp(x, self.gradient_scale)
        x = self.trunk(x)
        return {task: predictor(x) for task, predictor in self.predictors.items()}

    def losses(self, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """
        Compute the cross-entropy over the images whose label is known; log the accuracy on them as
        ``style/<task>_accuracy``.

        Args:
            logits: what :meth:`forward` returned.
            labels: task -> int64 (N,), -1 unknown.

        Returns:
            dict: "loss_<task>" -> float scalar, 0 and still connected where nothing is known.

        Raises:
            ValueError: a label is not one of the S styles.
        """
        losses = {}
        for i, task in enumerate(self.tasks):
            x, ids = logits[task], labels[task]
            if len(ids) and (int(ids.max()) >= self.num_styles or int(ids.min()) < UNKNOWN):
                raise ValueError(
                    f"{task} {ids.tolist()}: the model has styles 0 to {self.num_styles - 1} (-1: unknown); train "
                    "with the schema that the data was converted with"
                )
            targets = label_rows(ids, self.num_styles)
            adjustment = None
            if self.tau:
                counts = self.counts[i].float() + 1  # add-one smoothing
                adjustment = self.tau * (counts / counts.sum()).log()
            loss = single_label_loss(x, targets, smoothing=self.label_smoothing, adjustment=adjustment)
            losses[f"loss_{task}"] = loss * self.loss_weight
            known = known_rows(targets)
            if known.any():
                right = x[known].argmax(dim=1) == ids[known]
                get_event_storage().put_scalar(f"style/{task}_accuracy", right.float().mean().item())
        return losses

    def scores(self, logits: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return N dicts: "<task>_scores" -> float (S,), which sum to 1."""
        names = [f"{task}_scores" for task in logits]
        columns = [x.float().softmax(dim=1) for x in logits.values()]
        return [dict(zip(names, rows, strict=True)) for rows in zip(*columns, strict=True)]
