"""
This module makes training batches that follow from the seed and the iteration alone, so that a resumed run goes on as
if never stopped.

Detectron2 groups images by shape after they are loaded, and draws augmentations from generators that live as long as
their process: neither can be taken up again. Here an image's position in the sampler's stream decides both its batch
and its augmentation, whatever the number of workers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

__all__ = ["Draw", "SeededDataset", "TrainingBatches", "seed_everything", "seeded"]


class Draw(NamedTuple):
    """
    A draw is an image that the sampler chose, and when.

    Attributes:
        position: position in the stream that all processes share.
        index: of the image in the dataset.
    """

    position: int
    index: int  # type: ignore[assignment]  # a NamedTuple also has the method


class TrainingBatches(Sampler):
    """
    This batch sampler gives endless batches of :class:`Draw` from a sampler's endless indices, for a DataLoader's
    ``batch_sampler``.

    Attributes:
        first (int): the batch to begin with. Set it before the loader is iterated.
    """

    def __init__(
        self,
        sampler: Iterable[int],
        batch_size: int,
        *,
        groups: Sequence[int] | np.ndarray | None = None,
        rank: int = 0,
        world_size: int = 1,
    ):
        """
        Keep a sampler, and how its images go into batches.

        Args:
            sampler: of this process's images; each iteration over it gives the same stream.
            batch_size: images of this process.
            groups: int (N,), by index of the image; a batch has images of one group. None: no groups.
            rank, world_size: which process of how many this is.
        """
        self.sampler = sampler
        self.batch_size = batch_size
        self.groups = groups
        self.rank = rank
        self.world_size = world_size
        self.first = 0

    def __iter__(self) -> Iterator[list[Draw]]:
        return itertools.islice(self._batches(), self.first, None)

    def _batches(self) -> Iterator[list[Draw]]:
        waiting: dict[int, list[Draw]] = {}
        for position, index in zip(itertools.count(self.rank, self.world_size), self.sampler, strict=False):
            group = 0 if self.groups is None else int(self.groups[index])
            batch = waiting.setdefault(group, [])
            batch.append(Draw(position, index))
            if len(batch) == self.batch_size:
                del waiting[group]
                yield batch


def seed_everything(*key: int, cuda: bool = True) -> None:
    """
    Seed Python's, NumPy's and torch's generators from non-negative numbers; other numbers, unrelated streams. (Zeros at
    the end make no other numbers.)

    Args:
        cuda: torch's generators of CUDA devices too.
    """
    words = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    (torch.manual_seed if cuda else torch.default_generator.manual_seed)(int(words[2]))


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Call :func:`seed_everything` on the CPU, and restore the generators as they were afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed_everything(*key, cuda=False)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class SeededDataset(Dataset):
    """This dataset reads items by :class:`Draw`, each with generators seeded by its position."""

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, draw: Draw) -> Any:
        with seeded(self.seed, draw.position):
            return self.dataset[draw.index]
