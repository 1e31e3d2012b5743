import math

import pytest
import torch

from kfashion_d2.modeling.losses import multi_label_loss, single_label_loss


def slow_single(logits, targets):
    losses = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        if -1 in target:
            continue
        losses.append(math.log(sum(math.exp(x) for x in row)) - row[target.index(1)])
    return sum(losses) / max(len(losses), 1)


def slow_multi(logits, targets):
    total, rows = 0.0, 0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        rows += any(t >= 0 for t in target)
        for x, t in zip(row, target, strict=True):
            if t >= 0:
                p = 1 / (1 + math.exp(-x))
                total -= math.log(p if t else 1 - p)
    return total / max(rows, 1)


def random_targets(generator, rows, labels, single):
    if single:
        targets = torch.zeros(rows, labels, dtype=torch.int8)
        targets[torch.arange(rows), torch.randint(labels, (rows,), generator=generator)] = 1
        targets[torch.rand(rows, generator=generator) < 0.4] = -1
        return targets
    return torch.randint(-1, 2, (rows, labels), generator=generator).to(torch.int8)


@pytest.mark.parametrize(
    "loss, slow, single", [(single_label_loss, slow_single, True), (multi_label_loss, slow_multi, False)]
)
@pytest.mark.parametrize("rows", [0, 1, 17])
def test_equals_the_slow_loop(loss, slow, single, rows):
    generator = torch.Generator().manual_seed(rows)
    logits = torch.randn(rows, 5, generator=generator)
    targets = random_targets(generator, rows, 5, single)
    assert loss(logits, targets).item() == pytest.approx(slow(logits, targets), abs=1e-5)


@pytest.mark.parametrize("loss, single", [(single_label_loss, True), (multi_label_loss, False)])
def test_unknown_entries_have_exactly_zero_gradient(loss, single):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(9, 4, generator=generator, requires_grad=True)
    targets = random_targets(generator, 9, 4, single)
    loss(logits, targets).backward()
    assert (logits.grad[targets == -1] == 0).all()
    assert (logits.grad[targets != -1] != 0).all()


@pytest.mark.parametrize("loss", [single_label_loss, multi_label_loss])
def test_nothing_known_is_a_connected_zero(loss):
    logits = torch.randn(3, 4, requires_grad=True)
    value = loss(logits, torch.full((3, 4), -1, dtype=torch.int8))
    value.backward()
    assert value.item() == 0
    assert logits.grad.abs().sum() == 0
