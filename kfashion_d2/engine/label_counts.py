"""This module tells heads what they are to know of the training set's labels, for their losses and priors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.data import DatasetCatalog
from torch import nn

from ..data.statistics.label_statistics import label_counts, style_counts

__all__ = ["set_label_counts"]


def set_label_counts(model: nn.Module, names: Sequence[str]) -> None:
    """
    Give the label counts of registered splits to the heads that need them.

    Args:
        model: DistributedDataParallel around it is looked through.
        names: of the training splits.
    """
    model = getattr(model, "module", model)
    head = getattr(getattr(model, "roi_heads", None), "attribute_head", None)
    if getattr(head, "needs_label_counts", False):
        datasets = [DatasetCatalog.get(name) for name in names]
        counts = [label_counts(dataset, head.schema, len(head.class_parts)) for dataset in datasets]
        yes, known = (sum(torch.from_numpy(count[i]) for count in counts) for i in range(2))
        head.set_label_counts(yes, known)
    head = getattr(model, "style_head", None)
    if getattr(head, "needs_style_counts", False):
        head.set_style_counts(sum(style_counts(DatasetCatalog.get(name)) for name in names))
