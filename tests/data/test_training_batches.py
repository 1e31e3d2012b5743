"""The stream of training batches can be taken up anywhere."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch
from detectron2.data.samplers import TrainingSampler
from torch.utils.data import DataLoader, Dataset

from kfashion_d2.data.training_batches import Draw, SeededDataset, TrainingBatches, seed_everything, seeded


def take(batches, count):
    return list(itertools.islice(batches, count))


def test_batches_are_the_sampler_cut_up():
    batches = TrainingBatches([3, 1, 4, 1, 5], 2, rank=1, world_size=3)
    assert list(batches) == [[Draw(1, 3), Draw(4, 1)], [Draw(7, 4), Draw(10, 1)]]


def test_groups_do_not_mix_and_nobody_is_lost():
    groups = [0, 1, 0, 1, 1, 0]
    batches = TrainingBatches([0, 1, 2, 3, 4, 5], 2, groups=groups)
    assert [[d.index for d in batch] for batch in batches] == [[0, 2], [1, 3]]  # by hand; 4 and 5 wait
    endless = TrainingBatches(TrainingSampler(6, seed=0), 2, groups=groups)
    seen = Counter(d.index for batch in take(endless, 300) for d in batch)
    assert all(abs(seen[i] - 100) <= 2 for i in range(6))


@pytest.mark.parametrize("groups", [None, np.arange(10) % 3])
def test_first_skips_what_an_earlier_run_consumed(groups):
    batches = TrainingBatches(TrainingSampler(10, seed=3), 4, groups=groups)
    whole = take(batches, 12)
    batches.first = 7
    assert take(batches, 5) == whole[7:]


class Noise(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(), torch.rand(()).item()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_items_follow_from_seed_and_position(num_workers):
    def stream(seed, first=0, workers=0):
        batches = TrainingBatches(TrainingSampler(8, seed=1), 2)
        batches.first = first
        loader = DataLoader(
            SeededDataset(Noise(), seed), batch_sampler=batches, num_workers=workers, collate_fn=list,
            generator=torch.Generator(),
        )  # fmt: skip
        return [item for batch in take(loader, 6 - first) for item in batch]

    whole = stream(5)
    assert stream(5, first=3, workers=num_workers) == whole[6:]
    assert len({item[1:] for item in whole}) == len(whole)  # an image drawn again is augmented anew
    assert not {item[1:] for item in whole} & {item[1:] for item in stream(6)}


def test_seeded_leaves_the_generators_alone():
    seed_everything(1)
    expected = random.random(), np.random.rand(), torch.rand(()).item()
    seed_everything(1)
    with seeded(2, 3):
        inside = random.random(), np.random.rand(), torch.rand(()).item()
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == expected
    seed_everything(2, 3)
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == inside != expected
