"""
This module has the attribute branch's loss: which loss each kind of group has, and how groups are balanced.

Shapes: R rows (foreground RoIs), L labels of all groups together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..schema import AttributeSchema
from .losses import asymmetric_terms, bce_terms, focal_terms, multi_label_loss, single_label_loss

__all__ = ["AttributeCriterion"]


def _choose(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"MODEL.ROI_ATTRIBUTE_HEAD.LOSS.{name} is {value!r}; choose from {', '.join(choices)}")


class AttributeCriterion(nn.Module):
    """
    This module computes a loss for every group, and their weighted sum. With balance "uncertainty" every group has a
    learned log variance s and weighs exp(-s), at the price of s / 2 (Kendall et al., arXiv 1705.07115); a batch in
    which nothing of a group is known leaves its s alone.
    """

    def __init__(
        self,
        schema: AttributeSchema,
        *,
        single: str = "cross_entropy",
        label_smoothing: float = 0.0,
        tau: float = 1.0,
        multi: str = "bce",
        focal_gamma: float = 2.0,
        focal_alpha: float = 0.25,
        gamma_neg: float = 4.0,
        gamma_pos: float = 0.0,
        clip: float = 0.05,
        pos_weight_cap: float = 0.0,
        balance: str = "fixed",
        group_weights: Sequence[float] = (),
    ):
        """
        Choose the losses and their balance.

        Args:
            single, multi, balance and the numbers: see ``MODEL.ROI_ATTRIBUTE_HEAD.LOSS`` in ``config.py``.
            group_weights: a multiplier for every group's loss, in the schema's order; empty: 1 for all.

        Raises:
            ValueError: there is no such loss, or `group_weights` has another length than the schema has groups.
        """
        super().__init__()
        _choose("SINGLE", single, ("cross_entropy", "logit_adjusted"))
        _choose("MULTI", multi, ("bce", "focal", "asymmetric"))
        _choose("BALANCE", balance, ("fixed", "uncertainty"))
        if group_weights and len(group_weights) != len(schema.groups):
            raise ValueError(
                f"MODEL.ROI_ATTRIBUTE_HEAD.GROUP_WEIGHTS has {len(group_weights)} values for the "
                f"{len(schema.groups)} groups {', '.join(schema.group_names)}; give one each, or none"
            )
        self.schema = schema
        self.tau = tau if single == "logit_adjusted" else 0.0
        self.label_smoothing = label_smoothing
        self.terms = {
            "bce": bce_terms,
            "focal": partial(focal_terms, gamma=focal_gamma, alpha=focal_alpha),
            "asymmetric": partial(asymmetric_terms, gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip),
        }[multi]
        self.pos_weight_cap = pos_weight_cap
        self.group_weights = tuple(group_weights) or (1.0,) * len(schema.groups)
        self.log_variances = nn.Parameter(torch.zeros(len(schema.groups))) if balance == "uncertainty" else None

    @property
    def needs_prior(self) -> bool:
        return bool(self.tau or self.pos_weight_cap)

    def group_losses(
        self, logits: Tensor, targets: Tensor, prior: Tensor | None = None, allowed: Tensor | None = None
    ) -> dict[str, Tensor]:
        """
        Compute the loss of every group.

        Args:
            logits: float (R, L).
            targets: int8 (R, L): 1 yes, 0 no, -1 unknown.
            prior: float (L,), P(label); for the losses that need it.
            allowed: bool (R, L): labels that can occur on the row's garment.

        Returns:
            dict: group name -> float scalar, 0 where nothing is known.
        """
        losses = {}
        for group in self.schema.groups:
            columns = self.schema.slice(group.name)
            x, t = logits[:, columns], targets[:, columns]
            may = None if allowed is None else allowed[:, columns]
            p = None if prior is None else prior[columns]
            if group.is_single:
                adjustment = self.tau * p.log() if self.tau and p is not None else None
                losses[group.name] = single_label_loss(
                    x, t, smoothing=self.label_smoothing, adjustment=adjustment, allowed=may
                )
            else:
                weight = ((1 - p) / p).clamp(1, self.pos_weight_cap) if self.pos_weight_cap and p is not None else None
                losses[group.name] = multi_label_loss(x, t, terms=self.terms, pos_weight=weight, allowed=may)
        return losses

    def forward(
        self, logits: Tensor, targets: Tensor, prior: Tensor | None = None, allowed: Tensor | None = None
    ) -> Tensor:
        """Compute the weighted sum of :meth:`group_losses`, a float scalar."""
        return self.balance(self.group_losses(logits, targets, prior, allowed), targets)

    def balance(self, group_losses: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Compute the weighted sum of what :meth:`group_losses` gave for int8 (R, L) targets."""
        losses = torch.stack(list(group_losses.values()))
        losses = losses * losses.new_tensor(self.group_weights)
        if self.log_variances is None:
            return losses.sum()
        s = self.log_variances.float()
        seen = [(targets[:, self.schema.slice(name)] >= 0).any() for name in self.schema.group_names]
        return ((torch.exp(-s) * losses + s / 2) * torch.stack(seen)).sum()
