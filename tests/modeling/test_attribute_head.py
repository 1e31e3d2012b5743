import math

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from kfashion_d2.modeling import AttributeCriterion, AttributeHead, attribute_probabilities
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema().subset(["fit", "material", "neckline"])


def make_head(**kwargs):
    torch.manual_seed(0)
    arguments = {"schema": SCHEMA, "class_parts": (0, 1, 2, 3), "conv_dims": [], "fc_dims": [8], **kwargs}
    return AttributeHead(ShapeSpec(channels=4, height=2, width=2), **arguments)


def make_rows(*attributes, part="top"):
    return torch.stack([torch.from_numpy(SCHEMA.encode(a, part)) for a in attributes])


def proposals(rows, classes=None):
    instances = Instances((8, 8))
    instances.gt_classes = torch.zeros(len(rows), dtype=torch.int64) if classes is None else torch.tensor(classes)
    instances.proposal_boxes = Boxes(torch.zeros(len(rows), 4))
    instances.gt_attributes = rows
    return instances


def test_probabilities_are_softmax_and_sigmoid():
    logits = torch.randn(3, SCHEMA.num_labels, generator=torch.Generator().manual_seed(1))
    scores = attribute_probabilities(logits, SCHEMA)
    exponents = np.exp(logits[1, :7].double().numpy())
    assert scores[1, :7].numpy() == pytest.approx(exponents / exponents.sum(), rel=1e-5)
    assert scores[2, 7:32].numpy() == pytest.approx(1 / (1 + np.exp(-logits[2, 7:32].numpy())), rel=1e-5)
    assert scores[0, 32:].sum().item() == pytest.approx(1, rel=1e-5)


def test_loss_is_the_weighted_sum_of_the_groups():
    head = make_head(loss_weight=2.0, criterion=AttributeCriterion(SCHEMA, group_weights=[1.0, 0.5, 3.0]))
    rows = make_rows({"fit": 2, "material": [1]}, {"neckline": 12, "material": [-1]})
    features = torch.randn(2, 4, 2, 2)
    with EventStorage():
        total = head(features, [proposals(rows)])["loss_attribute"]
    parts = head.criterion.group_losses(head.layers(features, torch.zeros(2, dtype=torch.int64)), rows)
    assert total.item() == pytest.approx(
        2 * (parts["fit"] + 0.5 * parts["material"] + 3 * parts["neckline"]).item(), rel=1e-5
    )


def test_group_weights_must_be_one_for_each_group():
    with pytest.raises(ValueError, match=r"GROUP_WEIGHTS has 2 values for the 3 groups fit, material, neckline"):
        AttributeCriterion(SCHEMA, group_weights=[1.0, 2.0])


def test_unknown_columns_get_exactly_zero_gradient():
    head = make_head()
    rows = make_rows({"fit": 2, "material": [-1]}, {"fit": -1, "material": [-1]})
    with EventStorage():
        head(torch.randn(2, 4, 2, 2), [proposals(rows)])["loss_attribute"].backward()
    gradient = head.predictor.bias.grad
    assert (gradient[:7] != 0).all()
    assert (gradient[7:] == 0).all()


@pytest.mark.parametrize("count", [0, 3])
def test_nothing_known_is_finite_and_reaches_every_parameter(count):
    head = make_head(conv_dims=[4])
    rows = torch.full((count, SCHEMA.num_labels), -1, dtype=torch.int8)
    with EventStorage():
        loss = head(torch.randn(count, 4, 2, 2), [proposals(rows), proposals(rows[:0])])["loss_attribute"]
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and (p.grad == 0).all() for p in head.parameters())


def test_curves_of_every_group_by_hand():
    head = make_head()
    logits = torch.zeros(3, SCHEMA.num_labels)
    logits[:, 1] = 1  # fit: always loose
    logits[:, 7] = 1  # material: always leather
    head.layers = lambda x, classes: logits
    rows = make_rows({"fit": 1, "material": [0]}, {"fit": 3, "material": [2]}, {"fit": -1, "material": [-1]})
    with EventStorage() as storage:
        head(torch.zeros(3, 4, 2, 2), [proposals(rows)])
        latest = {name: value for name, (value, _) in storage.latest().items()}
    assert latest["attribute/fit_accuracy"] == 0.5
    # Both answers are leather, the first of them right; the other row's label is missed: 2 * 1 / (2 + 2).
    assert latest["attribute/material_micro_f1"] == 0.5
    assert latest["attribute/fit_known"] == latest["attribute/material_known"] == 2
    # Logits are 1 at one label and 0 at the six others: right once, wrong once.
    log_sum = math.log(math.e + 6)
    assert latest["attribute/fit_loss"] == pytest.approx((log_sum - 1 + log_sum) / 2, rel=1e-5)
    assert latest["attribute/neckline_known"] == 0
    assert not {"attribute/neckline_accuracy", "attribute/neckline_loss"} & set(latest)
    assert "attribute/material_accuracy" not in latest and "attribute/fit_micro_f1" not in latest


def test_curves_tell_what_inference_would_answer():
    """The highest logit belongs to a label that cannot occur on the part: masked, it is no answer."""
    fit = SCHEMA.group("fit")
    top, bottom = (set(fit.part_labels[part]) for part in ("top", "bottom"))
    true, impossible = next(iter(top)), next(iter(bottom - top))
    logits = torch.zeros(1, SCHEMA.num_labels)
    logits[0, true], logits[0, impossible] = 1, 2
    for mask_impossible, accuracy in ((False, 0.0), (True, 1.0)):
        head = make_head(mask_impossible=mask_impossible)
        head.layers = lambda x, classes: logits
        with EventStorage() as storage:
            head(torch.zeros(1, 4, 2, 2), [proposals(make_rows({"fit": true}), [0])])
        assert storage.latest()["attribute/fit_accuracy"][0] == accuracy


def test_groups_that_do_not_apply_are_zero():
    head = make_head().eval()
    found, given = Instances((8, 8)), Instances((8, 8))
    found.pred_classes = torch.tensor([0, 1])  # a top and a bottom
    given.pred_classes, given.parts = torch.tensor([0]), torch.tensor([1])  # known to be a bottom, whatever the class
    head(torch.randn(3, 4, 2, 2), [found, given])
    neckline = SCHEMA.slice("neckline")
    assert found.pred_attributes[0, neckline].sum().item() == pytest.approx(1, rel=1e-5)
    assert (found.pred_attributes[1, neckline] == 0).all()
    assert (given.pred_attributes[0, neckline] == 0).all()
    assert (given.pred_attributes[0, : neckline.start] > 0).all()


def test_class_embedding_makes_the_class_matter():
    features = torch.randn(1, 4, 2, 2).expand(3, -1, -1, -1)
    for size, differs in ((0, False), (4, True)):
        head = make_head(class_embed_dim=size).eval()
        found = Instances((8, 8), pred_classes=torch.tensor([0, 2, 2]))
        head(features, [found])
        scores = found.pred_attributes[:, SCHEMA.slice("fit")]
        assert torch.equal(scores[1], scores[2])
        assert torch.equal(scores[0], scores[1]) != differs


def test_training_reads_the_true_class():
    head = make_head(class_embed_dim=4)
    with EventStorage():
        rows = make_rows({"fit": 1}, {"fit": 2})
        head(torch.randn(2, 4, 2, 2), [proposals(rows, [3, 3])])["loss_attribute"].backward()
    touched = (head.class_embedding.weight.grad != 0).any(dim=1)
    assert touched.tolist() == [False, False, False, True, False]


def test_a_class_of_another_part_counts_as_unknown():
    head = make_head(class_embed_dim=4).eval()
    given = Instances((8, 8), pred_classes=torch.tensor([0, 1, -1]), parts=torch.tensor([1, 1, 2]))
    classes, parts = head._classes_and_parts([given])
    assert classes.tolist() == [4, 1, 4]
    assert parts.tolist() == [1, 1, 2]


def test_impossible_labels_leave_the_softmax():
    head = make_head(mask_impossible=True)
    fit = SCHEMA.group("fit")
    top, bottom = (set(fit.part_labels[part]) for part in ("top", "bottom"))
    wide = next(iter(bottom - top))  # trousers only
    found = Instances((8, 8), pred_classes=torch.tensor([0, 1]))
    head.eval()(torch.randn(2, 4, 2, 2), [found])
    scores = found.pred_attributes[:, SCHEMA.slice("fit")]
    assert scores.sum(dim=1).tolist() == pytest.approx([1, 1], rel=1e-5)
    assert scores[0, wide] == 0 < scores[1, wide]
    # In training they get no gradient, unless a garment is labelled so all the same.
    for label, trains in ((next(iter(top & bottom)), False), (wide, True)):
        head.train().zero_grad()
        with EventStorage():
            rows = make_rows({"fit": label})
            loss = head(torch.randn(1, 4, 2, 2), [proposals(rows, [0])])["loss_attribute"]
        loss.backward()
        assert loss.item() < 10
        assert (head.predictor.bias.grad[SCHEMA.slice("fit")][wide] != 0) == trains


def test_class_prior_is_what_an_untrained_head_predicts_and_is_saved():
    head = make_head(class_prior=True).eval()
    torch.nn.init.zeros_(head.predictor.weight)
    yes = torch.zeros(5, SCHEMA.num_labels, dtype=torch.int64)
    known = torch.zeros_like(yes)
    yes[0, 2], yes[1, 0], known[0, :7], known[1, :7] = 1000, 1000, 1000, 1000
    head.set_label_counts(yes, known)
    found = Instances((8, 8), pred_classes=torch.tensor([0, 1]))
    head(torch.randn(2, 4, 2, 2), [found])
    assert found.pred_attributes[:, :7].argmax(dim=1).tolist() == [2, 0]
    assert found.pred_attributes[0, 2].item() == pytest.approx((1000 + 10 * 1001 / 2007) / 1010, abs=1e-3)
    other = make_head(class_prior=True)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.prior.counts[0], yes)
    assert not [name for name in make_head().state_dict() if "prior" in name]
