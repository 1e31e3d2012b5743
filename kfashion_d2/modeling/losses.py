"""
This module has losses over label rows in which part of the entries is unknown.

Shapes: R rows (foreground RoIs), C labels of one group.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "asymmetric_terms",
    "bce_terms",
    "focal_terms",
    "known_rows",
    "multi_label_loss",
    "single_label_loss",
]

TINY = 1e-8  # below a probability's rounding error; keeps p**gamma's gradient finite where gamma < 1


def known_rows(targets: Tensor) -> Tensor:
    """
    Say in which rows a group is known.

    Args:
        targets: int8 (R, C) of one group: 1 yes, 0 no, -1 unknown.

    Returns:
        bool (R,): rows of which the group's every entry is known.
    """
    return (targets >= 0).all(dim=1)


def single_label_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    smoothing: float = 0.0,
    adjustment: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Tensor:
    """
    Compute the softmax cross-entropy of a single-label group, averaged over the rows where the group is known.

    Args:
        logits: float (R, C).
        targets: int8 (R, C), one 1 in each known row, -1 in unknown ones.
        smoothing: the share of the target that is spread over all allowed labels (arXiv 1512.00567).
        adjustment: float (C,), added to the logits: tau * log prior for the logit-adjusted loss (Menon et al.,
            arXiv 2007.07314), so that the logits without it are balanced over the labels.
        allowed: bool (R, C); other labels leave the softmax, but for a row's own target.

    Returns:
        float scalar; 0, still connected to `logits`, when no row is known.
    """
    known = known_rows(targets)
    x, hot = logits[known].float(), targets[known] == 1
    if adjustment is not None:
        x = x + adjustment
    keep = torch.ones_like(hot) if allowed is None else allowed[known] | hot
    log_p = x.masked_fill(~keep, torch.finfo(x.dtype).min).log_softmax(dim=1).masked_fill(~keep, 0)
    spread = keep.float() / keep.sum(dim=1, keepdim=True)
    losses = -(log_p * ((1 - smoothing) * hot.float() + smoothing * spread)).sum()
    # The product keeps every parameter in the graph: DistributedDataParallel waits for each of them.
    return losses / known.sum().clamp(min=1) + logits.float().sum() * 0


def bce_terms(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the binary cross-entropy of each entry; float logits and targets (0, 1) of any one shape, as below."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def focal_terms(logits: Tensor, targets: Tensor, *, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """
    Compute the focal loss of each entry (arXiv 1708.02002); a negative `alpha` weights positives and negatives alike.
    """
    terms = asymmetric_terms(logits, targets, gamma_neg=gamma, gamma_pos=gamma, clip=0.0)
    return terms if alpha < 0 else terms * (alpha * targets + (1 - alpha) * (1 - targets))


def asymmetric_terms(
    logits: Tensor, targets: Tensor, *, gamma_neg: float = 4.0, gamma_pos: float = 0.0, clip: float = 0.05
) -> Tensor:
    """
    Compute the asymmetric loss of each entry (arXiv 2009.14119): (1 - p)^gamma_pos * -log p for positives, and for
    negatives q^gamma_neg * -log(1 - q) with the shifted q = max(p - clip, 0).
    """
    p = logits.sigmoid()
    positive = logits.neg().sigmoid().clamp(min=TINY) ** gamma_pos * -F.logsigmoid(logits)
    if clip > 0:
        q = (p - clip).clamp(min=0)
        log_rest = (1 - q).log()  # q is at most 1 - clip
    else:
        q, log_rest = p, F.logsigmoid(-logits)  # exact where 1 - p would round to 0
    negative = q.clamp(min=TINY) ** gamma_neg * -log_rest
    return torch.where(targets == 1, positive, negative)


def multi_label_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    terms: Callable[[Tensor, Tensor], Tensor] = bce_terms,
    pos_weight: Tensor | None = None,
    allowed: Tensor | None = None,
) -> Tensor:
    """
    Compute a multi-label group's loss: summed over a row's known entries, averaged over the rows that have any.

    Args:
        logits: float (R, C).
        targets: int8 (R, C): 1 yes, 0 no, -1 unknown.
        terms: (float logits, float targets) -> the loss of each entry.
        pos_weight: float (C,), multiplies the terms of positive entries.
        allowed: bool (R, C); entries of other labels do not train, but for positive ones.

    Returns:
        float scalar; 0, still connected to `logits`, when nothing is known.
    """
    known = targets >= 0
    if allowed is not None:
        known &= allowed | (targets == 1)
    losses = terms(logits[known].float(), targets[known].float())
    if pos_weight is not None:
        weights = torch.where(targets == 1, pos_weight.float(), torch.ones_like(pos_weight, dtype=torch.float32))
        losses = losses * weights[known]
    return losses.sum() / known.any(dim=1).sum().clamp(min=1) + logits.float().sum() * 0
