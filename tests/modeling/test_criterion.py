import math

import pytest
import torch

from kfashion_d2.modeling import AttributeCriterion, LabelPrior
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema().subset(["fit", "material"])
FIT, MATERIAL = SCHEMA.slice("fit"), SCHEMA.slice("material")


def rows(*attributes):
    return torch.stack([torch.from_numpy(SCHEMA.encode(a, "top")) for a in attributes])


def test_uncertainty_weighs_by_learned_variances_and_skips_what_is_unknown():
    criterion = AttributeCriterion(SCHEMA, balance="uncertainty", group_weights=[2.0, 1.0])
    criterion.log_variances.data = torch.tensor([math.log(2), -1.0])
    logits = torch.zeros(1, SCHEMA.num_labels, requires_grad=True)
    both = criterion(logits, rows({"fit": 1, "material": [3]}))
    # exp(-s) L + s / 2, with L = 2 log 7 of fit, and 25 log 2 of material
    expected = 0.5 * 2 * math.log(7) + math.log(2) / 2 + math.e * 25 * math.log(2) - 0.5
    assert both.item() == pytest.approx(expected, rel=1e-6)
    fit = criterion(logits, rows({"fit": 1, "material": [-1]}))
    assert fit.item() == pytest.approx(math.log(7) + math.log(2) / 2, rel=1e-6)
    fit.backward()
    assert criterion.log_variances.grad[1] == 0


def test_uncertainty_finds_the_balance():
    """At the optimum exp(s) = 2 L: a group with the greater loss weighs less."""
    criterion = AttributeCriterion(SCHEMA, balance="uncertainty")
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.1)
    logits, targets = torch.zeros(1, SCHEMA.num_labels), rows({"fit": 1, "material": [3]})
    for _ in range(300):
        optimizer.zero_grad()
        criterion(logits, targets).backward()
        optimizer.step()
    expected = [math.log(2 * math.log(7)), math.log(2 * 25 * math.log(2))]
    assert criterion.log_variances.tolist() == pytest.approx(expected, rel=1e-3)


def test_prior_reaches_the_losses_that_want_it():
    prior = torch.full((SCHEMA.num_labels,), 0.25)
    prior[FIT] = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    logits, targets = torch.zeros(1, SCHEMA.num_labels), rows({"fit": 6, "material": [3]})
    adjusted = AttributeCriterion(SCHEMA, single="logit_adjusted", tau=1.0).group_losses(logits, targets, prior)
    assert adjusted["fit"].item() == pytest.approx(-math.log(0.05), rel=1e-5)  # softmax of log prior is the prior
    for cap, weight in ((10.0, 3.0), (2.0, 2.0)):  # (1 - 0.25) / 0.25 = 3
        weighted = AttributeCriterion(SCHEMA, pos_weight_cap=cap).group_losses(logits, targets, prior)
        assert weighted["material"].item() == pytest.approx((24 + weight) * math.log(2), rel=1e-6)


@pytest.mark.parametrize("key, value", [("single", "hinge"), ("multi", "mse"), ("balance", "dwa")])
def test_unknown_choices_are_refused(key, value):
    with pytest.raises(ValueError, match=rf"LOSS\.{key.upper()} is '{value}'; choose from"):
        AttributeCriterion(SCHEMA, **{key: value})


def test_prior_by_class():
    prior = LabelPrior(SCHEMA, 2)
    assert prior.labels()[FIT].tolist() == pytest.approx([1 / 7] * 7)
    yes, known = torch.zeros(3, 32, dtype=torch.int64), torch.zeros(3, 32, dtype=torch.int64)
    yes[0, 0], yes[1, 1], known[0, FIT], known[1, FIT] = 90, 3, 90, 3  # class 0: always normal; class 1: loose
    yes[2, MATERIAL.start], known[2, MATERIAL] = 4, 8  # garments of unknown class count too
    prior.set_counts(yes, known)
    labels = prior.labels()
    assert labels[:2].tolist() == pytest.approx([91 / 100, 4 / 100])
    assert labels[MATERIAL][:2].tolist() == pytest.approx([5 / 10, 1 / 10])
    logits = prior.class_logits()
    assert logits[0, 0].item() == pytest.approx(math.log((90 + 9.1) / 100))
    assert logits[1, 1].item() == pytest.approx(math.log((3 + 0.4) / 13))
    assert logits[2, :2].tolist() == pytest.approx([math.log(0.91), math.log(0.04)])
    assert logits[2, MATERIAL][1].item() == pytest.approx(math.log(0.1 / 0.9))
    with pytest.raises(ValueError, match=r"shape \(2, 32\), expected \(3, 32\)"):
        prior.set_counts(yes[:2], known[:2])
