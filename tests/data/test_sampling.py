import itertools
from collections import Counter
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler

from kfashion_d2.data import AttributeRepeatFactorSampler, repeat_factors


def test_hand_worked_factors():
    # Eight images. Label 0 in all of them, 3 in two, 5 in one; image 1 has 3 and 5; nothing has 1, 2 or 4.
    images = np.array([*range(8), 0, 1, 1])
    labels = np.array([0] * 8 + [3, 3, 5])
    factors = repeat_factors(images, labels, 8, 0.5)
    # f = 1, 1/4, 1/8: max(1, sqrt(.5)) = 1, sqrt(2), 2.
    assert factors.tolist() == pytest.approx([2**0.5, 2, 1, 1, 1, 1, 1, 1])
    assert factors.dtype == torch.float32
    assert repeat_factors(images[:0], labels[:0], 3, 0.5).tolist() == [1, 1, 1]


@pytest.mark.filterwarnings("error")
def test_a_threshold_of_zero_repeats_nothing():
    assert repeat_factors(np.array([0, 1]), np.array([0, 2]), 3, 0.0).tolist() == [1, 1, 1]


def test_factors_equal_detectron2s():
    generator = np.random.default_rng(0)
    dicts = [{"annotations": [{"category_id": int(c)} for c in generator.geometric(0.4, size=3)]} for _ in range(200)]
    pairs = {(i, a["category_id"]) for i, d in enumerate(dicts) for a in d["annotations"]}
    images, labels = np.array(sorted(pairs)).T
    expected = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(dicts, 0.3)
    assert expected.max() > 2
    assert torch.allclose(repeat_factors(images, labels, 200, 0.3), expected)


def sample(factors, count, rank=0, world=1, seed=3):
    with (
        mock.patch("detectron2.utils.comm.get_rank", return_value=rank),
        mock.patch("detectron2.utils.comm.get_world_size", return_value=world),
    ):
        return list(itertools.islice(AttributeRepeatFactorSampler(factors, seed=seed), count))


def test_whole_factors_repeat_exactly_and_fractions_on_average():
    assert Counter(sample(torch.tensor([1.0, 3.0, 2.0]), 6)) == {0: 1, 1: 3, 2: 2}
    counts = Counter(sample(torch.tensor([1.0, 1.5]), 25_000))
    assert counts[1] / counts[0] == pytest.approx(1.5, abs=0.03)


def test_two_ranks_share_what_one_draws():
    factors = torch.tensor([1.0, 2.5, 1.25, 1.0])
    one = sample(factors, 40)
    assert sample(factors, 20, rank=0, world=2) == one[0::2]
    assert sample(factors, 20, rank=1, world=2) == one[1::2]
    assert sample(factors, 40, seed=4) != one


def test_draws_what_detectron2_draws():
    factors = torch.tensor([1.0, 2.5, 1.25, 1.0, 3.75])
    peer = RepeatFactorTrainingSampler(factors, seed=7)
    assert sample(factors, 60, seed=7) == list(itertools.islice(peer, 60))
