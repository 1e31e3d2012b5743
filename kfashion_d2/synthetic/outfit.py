"""This module decides what a person of the demo set wears together."""

from __future__ import annotations

from functools import partial

import numpy as np

from .labels import Garment, sample_garment
from .long_tail import sample_unevenly


def sample_outfit(rng: np.random.Generator, imbalance: float = 1.0) -> list[Garment]:
    """
    Draw the garments of a picture, from the innermost to the outermost.

    Args:
        imbalance: how many times as common a group's first label is as its last; see :func:`sample_unevenly`.

    Returns:
        list[Garment]: one of bottom + top (38 %), dress (24 %), bottom + top + outer (26 %), dress + outer (12 %).
    """
    u = rng.random()
    parts = ["bottom", "top"] if u < 0.38 or 0.62 <= u < 0.88 else ["dress"]
    with_outer = u >= 0.62
    garments: list[Garment] = []
    for part in parts:
        taken = [g.color for g in garments]
        garments.append(sample_unevenly(rng, partial(sample_garment, rng, part, taken, with_outer), imbalance))
    if with_outer:
        taken = [g.color for g in garments]
        outer = sample_unevenly(rng, partial(sample_garment, rng, "outer", taken), imbalance)
        for garment in garments:
            _hide(garment, outer)
        garments.append(outer)
    return garments


def _hide(garment: Garment, outer: Garment) -> None:
    """Mark what an open outer leaves unseen of the garment below it."""
    if garment.part != "bottom" and outer.sleeve_length != "sleeveless":
        garment.hidden.add("sleeve_length")
    start = 0.405 if garment.part == "bottom" else 0.2
    if outer.hem > start + 0.5 * (garment.hem - start):
        garment.hidden.add("fit")
