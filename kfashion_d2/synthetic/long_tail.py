"""This module gives the demo set a long tail: within a group, each label is rarer than the one before it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from kfashion_d2.schema import kfashion_schema

from .labels import NONE, Garment

__all__ = ["sample_unevenly"]

_CANDIDATES = 64


@cache
def label_weights(imbalance: float) -> dict[str, dict[str, float]]:
    """Return group -> label -> weight, 1 on average; `none` is as common as the first label."""
    weights = {}
    for group in kfashion_schema().groups:
        names = sorted((label.name for label in group.labels), key=lambda name: name != NONE)  # stable
        values = imbalance ** -np.linspace(0, 1, len(names))
        weights[group.name] = dict(zip(names, (values / values.mean()).tolist(), strict=True))
    return weights


def _weight(garment: Garment, imbalance: float) -> float:
    product = 1.0
    for group, weights in label_weights(imbalance).items():
        labels = getattr(garment, group)
        for label in [labels] if isinstance(labels, str) else labels or ():
            product *= weights[label]
    return product


def sample_unevenly(rng: np.random.Generator, sample: Callable[[], Garment], imbalance: float) -> Garment:
    """
    Draw one of several garments, in proportion to how common its labels are to be.

    Labels of a group fall off exponentially in the schema's order, the first `imbalance` times as common as the last
    (arXiv 1901.05555), as far as what must go together lets them.

    Args:
        sample: draws a garment with labels as even as can be.
        imbalance: at least 1, which changes nothing and draws one garment.
    """
    if imbalance == 1:
        return sample()
    garments = [sample() for _ in range(_CANDIDATES)]
    weights = np.array([_weight(garment, imbalance) for garment in garments])
    return garments[int(rng.choice(len(garments), p=weights / weights.sum()))]
