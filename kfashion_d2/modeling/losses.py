"""
Losses over label rows in which part of the entries is unknown.

Shapes: R rows (foreground RoIs), C labels of one group.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["known_rows", "multi_label_loss", "single_label_loss"]


def known_rows(targets: Tensor) -> Tensor:
    """
    Args:
        targets: int8 (R, C) of one group: 1 yes, 0 no, -1 unknown.

    Returns:
        bool (R,): rows of which the group's every entry is known.
    """
    return (targets >= 0).all(dim=1)


def single_label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """
    Softmax cross-entropy of a single-label group, averaged over the rows where the group is known.

    Args:
        logits: float (R, C).
        targets: int8 (R, C), one 1 in each known row, -1 in unknown ones.

    Returns:
        float scalar; 0, still connected to `logits`, when no row is known.
    """
    known = known_rows(targets)
    losses = F.cross_entropy(logits[known].float(), targets[known].long().argmax(dim=1), reduction="sum")
    # The product keeps every parameter in the graph: DistributedDataParallel waits for each of them.
    return losses / known.sum().clamp(min=1) + logits.float().sum() * 0


def multi_label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """
    Binary cross-entropy of a multi-label group: summed over a row's known entries, averaged over the rows that have
    any.

    Args:
        logits: float (R, C).
        targets: int8 (R, C): 1 yes, 0 no, -1 unknown.

    Returns:
        float scalar; 0, still connected to `logits`, when nothing is known.
    """
    known = targets >= 0
    losses = F.binary_cross_entropy_with_logits(logits[known].float(), targets[known].float(), reduction="sum")
    return losses / known.any(dim=1).sum().clamp(min=1) + logits.float().sum() * 0
