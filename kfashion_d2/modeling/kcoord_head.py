"""
This module has the attribute branch of K-COORD, as a baseline: what it does to unlabelled garments and background is on
purpose.

Shapes: R RoIs of all images together, L labels of the schema, M outputs: for every group "none", then its labels.
"""

from __future__ import annotations

import torch
from detectron2.structures import Instances
from torch import Tensor, nn
from torch.nn import functional as F

from .attribute_head import ROI_ATTRIBUTE_HEAD_REGISTRY, AttributeHead, log_groups

__all__ = ["KCoordAttributeHead"]


@ROI_ATTRIBUTE_HEAD_REGISTRY.register()
class KCoordAttributeHead(AttributeHead):
    """
    This head is K-COORD's recipe (github.com/K-COORD/K-Fashion, `models/attributercnn.py`) behind our interface:

    - every group has a class 0, "none", for whatever is missing: unknown, not applicable, or none indeed;
    - the loss is taken on all sampled proposals; those of the background carry the labels of the garment nearest to
      them, and "none" in an image without one;
    - cross-entropy for single-label groups, binary cross-entropy averaged over all entries for multi-label ones, then
      the plain mean over the groups.

    The keys under LOSS are not read; CLASS_PRIOR and MASK_IMPOSSIBLE are refused. In test a schema's own `none` label
    gets class 0's score; of a group without one, class 0 is left out.
    """

    trains_on_background = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.class_prior or self.mask_impossible:
            raise ValueError("KCoordAttributeHead knows neither CLASS_PRIOR nor MASK_IMPOSSIBLE: use AttributeHead")
        # For every group: its columns in the schema without `none`, its outputs, and the column of `none`.
        self.positions: list[tuple[slice, slice, int | None]] = []
        end = 0
        for group in self.schema.groups:
            start = self.schema.slice(group.name).start
            none = None if group.none_index is None else start + group.none_index
            size = group.num_labels - (none is not None)
            self.positions.append((slice(start, start + size), slice(end, end + size + 1), none))
            end += size + 1
        self.predictor = nn.Linear(self.num_features, end)

    def losses(self, logits: Tensor, parts: Tensor, instances: list[Instances]) -> Tensor:
        targets = self.targets(instances)
        losses = []
        for group, (columns, outputs, _) in zip(self.schema.groups, self.positions, strict=True):
            x, labels = logits[:, outputs].float(), (targets[:, columns] == 1).float()
            hot = torch.cat([(labels.sum(dim=1, keepdim=True) == 0).float(), labels], dim=1)
            if group.is_single:
                losses.append(F.cross_entropy(x, hot.argmax(dim=1), reduction="sum") / max(len(x), 1))
            else:
                losses.append(F.binary_cross_entropy_with_logits(x, hot, reduction="sum") / max(x.numel(), 1))
        log_groups(self.to_schema(logits), targets, self.schema, losses)
        return torch.stack(losses).mean()

    def scores(self, logits: Tensor, parts: Tensor) -> Tensor:
        probabilities = torch.empty_like(logits)
        for group, (_, outputs, _) in zip(self.schema.groups, self.positions, strict=True):
            x = logits[:, outputs]
            probabilities[:, outputs] = x.softmax(dim=1) if group.is_single else x.sigmoid()
        return self.to_schema(probabilities) * self.applicable[parts]

    def to_schema(self, outputs: Tensor) -> Tensor:
        """Turn the outputs of the layer, float (R, M), into columns of the schema, float (R, L)."""
        rows = outputs.new_zeros((outputs.shape[0], self.schema.num_labels))  # len() would stay in a traced graph
        for columns, positions, none in self.positions:
            rows[:, columns] = outputs[:, positions][:, 1:]
            if none is not None:
                rows[:, none] = outputs[:, positions.start]
        return rows
