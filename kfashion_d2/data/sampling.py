"""This module samples images with rare labels more often: by repeat factors over categories, attributes and styles."""

from __future__ import annotations

import numpy as np
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler
from torch import Tensor

__all__ = ["AttributeRepeatFactorSampler", "repeat_factors"]


def repeat_factors(images: np.ndarray, labels: np.ndarray, num_images: int, threshold: float) -> Tensor:
    """
    Compute LVIS's repeat factors (arXiv 1908.03195, appendix B.2) over any labels: max(1, sqrt(threshold / f)) of the
    rarest label in the image, where f is the share of images that have it. An image without labels has 1.

    Args:
        images, labels: int64 (M,) each: which image has which label; see :func:`image_labels`.
        num_images: N.

    Returns:
        float32 (N,)
    """
    frequency = np.bincount(labels) / max(num_images, 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # labels that no image has, whose factor none needs
        factor_of = np.maximum(1.0, np.sqrt(threshold / frequency))
    factors = np.ones(num_images)
    np.maximum.at(factors, images, factor_of[labels])
    return torch.from_numpy(factors.astype(np.float32))


class AttributeRepeatFactorSampler(RepeatFactorTrainingSampler):
    """
    This is Detectron2's sampler (endless, shuffled, each process its share), with epochs drawn up in torch instead of a
    Python loop, so that a million images cost milliseconds.
    """

    def _get_epoch_indices(self, generator: torch.Generator) -> Tensor:
        extra = torch.rand(len(self._frac_part), generator=generator) < self._frac_part
        return torch.repeat_interleave(self._int_part.long() + extra.long())
