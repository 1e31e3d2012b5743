import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.utils.events import EventStorage
from torch.nn import functional as F

from kfashion_d2.modeling.style_head import StyleHead, label_rows, pool_images

SHAPES = {"p3": ShapeSpec(channels=2, stride=8), "p4": ShapeSpec(channels=3, stride=16)}
STYLES = 5


def make_head(**options):
    torch.manual_seed(0)
    defaults = {"in_features": ["p3", "p4"], "num_styles": STYLES, "fc_dims": [4]}
    return StyleHead(SHAPES, **{**defaults, **options})


def losses_of(head, logits, style, sub_style=None):
    labels = {"style": torch.tensor(style), "sub_style": torch.tensor(sub_style or style)}
    with EventStorage() as storage:
        losses = head.losses(dict.fromkeys(head.tasks, logits), labels)
        return losses, {name: value for name, (value, _) in storage.latest().items()}


def test_padding_leaves_the_mean():
    maps = torch.full((2, 1, 3, 4), 100.0)
    maps[0, 0, :2, :3] = torch.tensor([[1.0, 2, 3], [4, 5, 6]])  # 9 to 16 rows and 17 to 24 columns of pixels
    maps[1, 0, :3, :1] = torch.tensor([[1.0], [2], [6]])
    assert pool_images(maps, [(16, 24), (24, 8)], stride=8).tolist() == [[3.5], [3.0]]
    assert pool_images(maps, [(9, 17), (17, 1)], stride=8).tolist() == [[3.5], [3.0]]
    assert pool_images(maps[:1], [(24, 32)], stride=8).item() == pytest.approx((21 + 600) / 12)


def test_label_rows():
    rows = label_rows(torch.tensor([2, -1, 0]), 3)
    assert rows.dtype == torch.int8
    assert rows.tolist() == [[0, 0, 1], [-1, -1, -1], [1, 0, 0]]


def test_the_loss_by_hand():
    head = make_head(loss_weight=2.0)
    logits = torch.log(torch.tensor([[1.0, 2, 3, 4, 10], [6, 1, 1, 1, 1], [1, 1, 1, 1, 1]]))
    losses, logged = losses_of(head, logits, [3, 0, -1], [-1, -1, 1])
    # -log(4 / 20), -log(6 / 10); -log(1 / 5)
    assert losses["loss_style"].item() == pytest.approx(2 * (math.log(5) + math.log(10 / 6)) / 2)
    assert losses["loss_sub_style"].item() == pytest.approx(2 * math.log(5))
    assert logged == {"style/style_accuracy": 0.5, "style/sub_style_accuracy": 0.0}


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("tau", [0.0, 0.5])
def test_the_loss_is_torchs(smoothing, tau):
    head = make_head(sub_style=False, label_smoothing=smoothing, tau=tau)
    head.set_style_counts([[7, 0, 1, 3, 4], [9, 9, 9, 9, 9]])
    logits = torch.randn(6, STYLES)
    losses, _ = losses_of(head, logits, [4, -1, 1, 1, -1, 0])
    prior = torch.tensor([8, 1, 2, 4, 5]) / 20
    expected = F.cross_entropy(
        logits + tau * prior.log(), torch.tensor([4, -1, 1, 1, -1, 0]), ignore_index=-1, label_smoothing=smoothing
    )
    assert set(losses) == {"loss_style"}
    torch.testing.assert_close(losses["loss_style"], expected)


def test_unknown_images_have_no_gradient():
    head = make_head()
    features = {"p3": torch.randn(3, 2, 4, 4, requires_grad=True), "p4": torch.randn(3, 3, 2, 2, requires_grad=True)}
    logits = head(features, [(32, 32)] * 3)
    with EventStorage():
        losses = head.losses(logits, {"style": torch.tensor([-1, 2, -1]), "sub_style": torch.tensor([-1, -1, 1])})
    losses["loss_style"].backward(retain_graph=True)
    for maps in features.values():
        assert (maps.grad[[0, 2]] == 0).all()
        assert (maps.grad[1] != 0).any()
        maps.grad = None
    losses["loss_sub_style"].backward()
    assert all((maps.grad[:2] == 0).all() and (maps.grad[2] != 0).any() for maps in features.values())


def test_nothing_known_is_0_and_reaches_every_parameter():
    head = make_head()
    features = {"p3": torch.randn(2, 2, 4, 4), "p4": torch.randn(2, 3, 2, 2)}
    with EventStorage() as storage:
        losses = head.losses(head(features, [(32, 32)] * 2), dict.fromkeys(head.tasks, torch.tensor([-1, -1])))
        assert not storage.latest()
    assert [loss.item() for loss in losses.values()] == [0, 0]
    sum(losses.values()).backward()
    assert all((p.grad == 0).all() for p in head.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_finite_in_half_precision(dtype):
    logits = (torch.randn(4, STYLES) * 100).to(dtype).requires_grad_()
    losses, _ = losses_of(make_head(label_smoothing=0.1, tau=1.0), logits, [0, 1, -1, 3])
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("scale", [0.0, 0.25])
def test_the_gradient_into_the_backbone_is_scaled_and_the_heads_own_is_not(scale):
    gradients = []
    for head in (make_head(), make_head(gradient_scale=scale)):
        generator = torch.Generator().manual_seed(1)
        maps = {name: torch.randn(2, s.channels, 2, 2, generator=generator) for name, s in SHAPES.items()}
        leaf = maps["p3"].requires_grad_()
        logits = head({**maps, "p4": maps["p4"].requires_grad_()}, [(32, 32)] * 2)
        sum((x**2).sum() + x.sum() for x in logits.values()).backward()
        gradients.append((logits["style"].detach(), leaf.grad, head.predictors["style"].weight.grad))
    (plain, into, own), (same, scaled, as_ever) = gradients
    torch.testing.assert_close(same, plain)
    torch.testing.assert_close(as_ever, own)
    torch.testing.assert_close(scaled, scale * into)
    assert (into != 0).any()


def test_scores_are_probabilities_by_image():
    head = make_head()
    logits = {"style": torch.log(torch.tensor([[1.0, 2, 3, 4, 10], [1, 1, 1, 1, 1]])), "sub_style": torch.zeros(2, 5)}
    first, second = head.scores(logits)
    assert sorted(first) == ["style_scores", "sub_style_scores"]
    torch.testing.assert_close(first["style_scores"], torch.tensor([0.05, 0.1, 0.15, 0.2, 0.5]))
    torch.testing.assert_close(second["style_scores"], torch.full((5,), 0.2))


def test_without_fully_connected_layers_it_is_linear():
    head = make_head(fc_dims=[], sub_style=False)
    assert sorted(name for name, _ in head.named_parameters()) == ["predictors.style.bias", "predictors.style.weight"]
    features = {"p3": torch.randn(1, 2, 4, 4), "p4": torch.randn(1, 3, 2, 2)}
    pooled = torch.cat([features["p3"].mean(dim=(2, 3)), features["p4"].mean(dim=(2, 3))], dim=1)
    weight, bias = head.predictors["style"].weight, head.predictors["style"].bias
    torch.testing.assert_close(head(features, [(32, 32)])["style"], pooled @ weight.T + bias)


def test_mistakes_are_named():
    head = make_head(tau=1.0)
    with pytest.raises(ValueError, match=r"style \[5\]: the model has styles 0 to 4"):
        losses_of(head, torch.zeros(1, STYLES), [5])
    with pytest.raises(ValueError, match=r"sub_style \[-2\]"):
        losses_of(head, torch.zeros(1, STYLES), [0], [-2])
    with pytest.raises(ValueError, match=r"shape \(2, 23\), expected \(2, 5\)"):
        head.set_style_counts(torch.zeros(2, 23))
