"""
This module keeps how often each label occurs, alone and given the class: counts that losses and heads turn into priors.

Shapes: K classes of the detector, L labels. Row K of what has K + 1 rows stands for an unknown class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..schema import AttributeSchema

__all__ = ["LabelPrior"]

PSEUDO_COUNT = 10.0  # garments that a class is given of all classes' mixture, before its own are counted


class LabelPrior(nn.Module):
    """
    This module keeps label counts as a buffer that checkpoints keep. Until they are set, every label is as likely as
    any other.
    """

    counts: Tensor

    def __init__(self, schema: AttributeSchema, num_classes: int):
        super().__init__()
        self.register_buffer("counts", torch.zeros((2, num_classes + 1, schema.num_labels), dtype=torch.int64))
        single = torch.zeros(schema.num_labels, dtype=torch.bool)
        group_sizes = torch.zeros(schema.num_labels)
        for group in schema.groups:
            columns = schema.slice(group.name)
            single[columns] = group.is_single
            group_sizes[columns] = group.num_labels if group.is_single else 2
        self.register_buffer("single", single, persistent=False)
        self.register_buffer("choices", group_sizes, persistent=False)

    def set_counts(self, yes: Tensor, known: Tensor) -> None:
        """
        Set the counts of a training set.

        Args:
            yes, known: int64 (K + 1, L): garments of each class that have the label, and of which that is known.

        Raises:
            ValueError: the shape is another.
        """
        counts = torch.stack([torch.as_tensor(yes), torch.as_tensor(known)])
        if counts.shape != self.counts.shape:
            raise ValueError(
                f"label counts of shape {tuple(counts.shape[1:])}, expected {tuple(self.counts.shape[1:])}"
            )
        self.counts.copy_(counts)

    def labels(self) -> Tensor:
        """Return P(label), with one more garment for each choice (add-one smoothing); float (L,)."""
        yes, known = self.counts.sum(dim=1).float()
        return (yes + 1) / (known + self.choices)

    def class_logits(self) -> Tensor:
        """
        Return log P(label | class) of single-label groups, and the log-odds of multi-label ones; the last row knows no
        class. float (K + 1, L).
        """
        prior = self.labels()
        yes, known = self.counts.float()
        p = (yes + PSEUDO_COUNT * prior) / (known + PSEUDO_COUNT)
        p = torch.cat([p[:-1], prior[None]]).clamp(1e-4, 1 - 1e-4)
        return torch.where(self.single, p.log(), torch.logit(p))
