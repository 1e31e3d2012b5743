import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from kfashion_d2.modeling import AttributeHead, attribute_losses, attribute_probabilities
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema().subset(["fit", "material", "neckline"])


def make_head(**kwargs):
    torch.manual_seed(0)
    arguments = {"schema": SCHEMA, "class_parts": (0, 1, 2, 3), "conv_dims": [], "fc_dims": [8], **kwargs}
    return AttributeHead(ShapeSpec(channels=4, height=2, width=2), **arguments)


def make_rows(*attributes, part="top"):
    return torch.stack([torch.from_numpy(SCHEMA.encode(a, part)) for a in attributes])


def proposals(rows):
    instances = Instances((8, 8))
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
    head = make_head(loss_weight=2.0, group_weights=[1.0, 0.5, 3.0])
    rows = make_rows({"fit": 2, "material": [1]}, {"neckline": 12, "material": [-1]})
    features = torch.randn(2, 4, 2, 2)
    with EventStorage():
        total = head(features, [proposals(rows)])["loss_attribute"]
    parts = attribute_losses(head.layers(features), rows, SCHEMA)
    assert total.item() == pytest.approx(
        2 * (parts["fit"] + 0.5 * parts["material"] + 3 * parts["neckline"]).item(), rel=1e-5
    )


def test_group_weights_must_be_one_for_each_group():
    with pytest.raises(ValueError, match=r"GROUP_WEIGHTS has 2 values for the 3 groups fit, material, neckline"):
        make_head(group_weights=[1.0, 2.0])


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


def test_accuracy_counts_known_entries():
    head = make_head()
    logits = torch.zeros(3, SCHEMA.num_labels)
    logits[:, 1] = 1  # fit: always loose
    logits[:, 7] = 1  # material: always leather
    head.layers = lambda x: logits
    rows = make_rows({"fit": 1, "material": [0]}, {"fit": 3, "material": [2]}, {"fit": -1, "material": [-1]})
    with EventStorage() as storage:
        head(torch.zeros(3, 4, 2, 2), [proposals(rows)])
        latest = {name: value for name, (value, _) in storage.latest().items()}
    assert latest["attribute/fit_accuracy"] == 0.5
    assert latest["attribute/material_accuracy"] == pytest.approx(48 / 50)  # the second row: two of 25 wrong
    assert "attribute/neckline_accuracy" not in latest


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
