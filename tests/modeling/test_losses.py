import math

import pytest
import torch

from kfashion_d2.modeling.losses import (
    asymmetric_terms,
    bce_terms,
    focal_terms,
    multi_label_loss,
    single_label_loss,
)


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


def slow_softmax_loss(row, label, allowed, smoothing, adjustment):
    """Szegedy et al., section 7, and Menon et al., equation 10, over the allowed labels."""
    allowed = [i for i in range(len(row)) if allowed[i] or i == label]
    x = {i: row[i] + adjustment[i] for i in allowed}
    log_sum = math.log(sum(math.exp(v) for v in x.values()))
    target = {i: smoothing / len(allowed) + (1 - smoothing) * (i == label) for i in allowed}
    return sum(q * (log_sum - x[i]) for i, q in target.items())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_single_label_choices_equal_the_papers(smoothing, adjusted, masked):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(20, 5, generator=generator)
    targets = random_targets(generator, 20, 5, True)
    prior = torch.tensor([0.5, 0.3, 0.1, 0.07, 0.03])
    adjustment = 1.5 * prior.log() if adjusted else None
    allowed = torch.rand(20, 5, generator=generator) < 0.6 if masked else None
    known = [i for i in range(20) if -1 not in targets[i]]
    slow = [
        slow_softmax_loss(
            logits[i].tolist(),
            targets[i].tolist().index(1),
            allowed[i].tolist() if masked else [True] * 5,
            smoothing,
            adjustment.tolist() if adjusted else [0.0] * 5,
        )
        for i in known
    ]
    loss = single_label_loss(logits, targets, smoothing=smoothing, adjustment=adjustment, allowed=allowed)
    assert loss.item() == pytest.approx(sum(slow) / len(known), abs=1e-5)


def slow_focal(p, y, gamma=2.0, alpha=0.25):
    """Lin et al., equation 5."""
    p_t, alpha_t = (p, alpha) if y else (1 - p, 1 - alpha)
    return -alpha_t * (1 - p_t) ** gamma * math.log(p_t)


def slow_asymmetric(p, y, gamma_neg=4.0, gamma_pos=0.0, clip=0.05):
    """Ridnik et al., equations 5 and 7."""
    p_m = max(p - clip, 0)
    return -((1 - p) ** gamma_pos) * math.log(p) if y else -(p_m**gamma_neg) * math.log(1 - p_m)


@pytest.mark.parametrize(
    "terms, slow",
    [
        (focal_terms, slow_focal),
        (lambda x, t: focal_terms(x, t, gamma=0.5, alpha=-1), lambda p, y: 2 * slow_focal(p, y, 0.5, 0.5)),
        (asymmetric_terms, slow_asymmetric),
        (
            lambda x, t: asymmetric_terms(x, t, gamma_neg=1.0, gamma_pos=0.5, clip=0.2),
            lambda p, y: slow_asymmetric(p, y, 1.0, 0.5, 0.2),
        ),
    ],
)
def test_terms_equal_the_papers(terms, slow):
    x = torch.tensor([-6.0, -3, -1, 0, 0.5, 2, 5])
    for y in (0, 1):
        expected = [slow(1 / (1 + math.exp(-v)), y) for v in x.tolist()]
        assert terms(x, torch.full((7,), float(y))).tolist() == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_positives_weigh_more_and_impossible_entries_leave():
    logits = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]])
    targets = torch.tensor([[1, 0, 0], [-1, 1, 0]], dtype=torch.int8)
    allowed = torch.tensor([[True, False, True], [True, False, True]])
    loss = multi_label_loss(logits, targets, pos_weight=torch.tensor([3.0, 2.0, 1.0]), allowed=allowed)
    # Row 1: label 0 thrice, label 1 left out, label 2. Row 2: label 1 twice though it is not allowed, label 2.
    expected = 3 * math.log(2) + math.log1p(math.exp(-1)) + 2 * math.log(2) + math.log(2)
    assert loss.item() == pytest.approx(expected / 2, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("terms", [bce_terms, focal_terms, asymmetric_terms, None])
def test_finite_at_extreme_logits_under_autocast(terms, dtype):
    weight = torch.tensor([[30.0], [-30.0], [0.0], [1e-3]], requires_grad=True)
    x = torch.tensor([[1000.0], [-1000.0], [1.0]])
    with torch.autocast("cpu", dtype=dtype):
        logits = torch.nn.functional.linear(x, weight)
        assert logits.dtype == dtype
        for hot in range(4):
            targets = torch.zeros(3, 4, dtype=torch.int8)
            targets[:, hot] = 1
            if terms is None:
                loss = single_label_loss(logits, targets, smoothing=0.1, adjustment=torch.zeros(4))
            else:
                loss = multi_label_loss(logits, targets, terms=terms, pos_weight=torch.full((4,), 10.0))
            weight.grad = None
            loss.backward(retain_graph=True)
            assert loss.dtype == torch.float32
            assert torch.isfinite(loss)
            assert torch.isfinite(weight.grad).all()
