"""
This module makes what a step draws at random follow from the seed and its iteration, not from what was drawn before.
"""

from __future__ import annotations

from detectron2.engine import HookBase
from detectron2.utils import comm

from ...data.training_batches import seed_everything

__all__ = ["SeedIterations"]


class SeedIterations(HookBase):
    """
    This hook seeds all generators before each step from the seed, the iteration and the process: a resumed run samples
    anchors and proposals as the uninterrupted one, though no generator's state is saved, and however often it was
    evaluated.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def before_step(self):
        # The last number keeps them apart from the augmentations', which begin alike.
        seed_everything(self.seed, self.trainer.iter, comm.get_rank(), 1)
