import copy
import threading

import pytest
import torch
from detectron2.export import TracingAdapter
from detectron2.modeling import build_model
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.modeling import AttributeRCNN, AttributeRCNNWithTTA
from tests.modeling.tiny_models import make_cfg, make_input, make_targets, set_score_threshold, with_masks

GARMENT = ([10, 10, 60, 100], 0, {"color": 3})


def style_cfg(*opts, head="Standard", masks=False):
    cfg = make_cfg(head, masks)
    cfg.merge_from_list(
        ["MODEL.META_ARCHITECTURE", "AttributeRCNN", "MODEL.STYLE_HEAD.NUM_FC", 1, "MODEL.STYLE_HEAD.FC_DIM", 16, *opts]
    )
    return cfg


def style_model(*opts, **kw):
    torch.manual_seed(0)
    return build_model(style_cfg(*opts, **kw))


def with_style(style, sub_style=-1, garments=(GARMENT,), seed=0, size=(128, 128)):
    targets = make_targets(list(garments), size)
    return {**make_input(targets, size, seed), "style": style, "sub_style": sub_style}


def run(model, batch):
    with EventStorage():
        return model(batch)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("head", ["Standard", "Cascade", "Res5"])
def test_training_reaches_every_parameter(head, masks):
    model = style_model(head=head, masks=masks)
    for styles, garments in (((3, 1), (GARMENT,)), ((-1, -1), (GARMENT,)), ((5, -1), ()), ((None, None), ())):
        batch = [with_style(*styles, garments), with_style(-1, -1, garments, seed=1, size=(96, 128))]
        for x in batch:
            if masks:
                with_masks(x["instances"])
            if styles == (None, None):  # a dataset that knows no styles
                del x["style"], x["sub_style"]
        model.zero_grad()
        losses = run(model, batch)
        sum(losses.values()).backward()
        assert all(torch.isfinite(loss) for loss in losses.values())
        known = [s is not None and s >= 0 for s in styles]
        assert [losses["loss_style"] > 0, losses["loss_sub_style"] > 0] == known
        assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_it_adds_to_generalized_rcnn_and_changes_nothing():
    model = style_model().eval()
    cfg = style_cfg("MODEL.META_ARCHITECTURE", "GeneralizedRCNN")
    plain = build_model(cfg).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("style_head.")})
    for each in (model, plain):
        set_score_threshold(each, 0.0)
    batch = [make_input(), make_input(size=(96, 128), seed=1)]
    with torch.no_grad():
        outputs, expected = model(batch), plain(batch)
        raw = model.inference(batch, do_postprocess=False)
    for output, other, instances in zip(outputs, expected, raw, strict=True):
        assert sorted(output) == ["instances", "style_scores", "sub_style_scores"]
        for name, value in other["instances"].get_fields().items():
            value = getattr(value, "tensor", value)
            assert torch.equal(getattr(output["instances"].get(name), "tensor", output["instances"].get(name)), value)
        for name in ("style_scores", "sub_style_scores"):
            assert output[name].shape == (23,)
            assert output[name].sum().item() == pytest.approx(1)
        assert isinstance(instances, Instances)


def test_style_is_of_the_whole_image_and_the_backbone_runs_once():
    model = style_model("MODEL.STYLE_HEAD.SUB_STYLE", False).eval()
    batch, runs = [make_input(), make_input(size=(96, 128), seed=1)], []
    model.backbone.register_forward_hook(lambda module, args, features: runs.append(features))
    with torch.no_grad():
        outputs = model(batch)
        assert len(runs) == 1
        for i, (output, (height, width)) in enumerate(zip(outputs, [(128, 128), (96, 128)], strict=True)):
            pooled = [
                runs[0][name][i, :, : height // stride, : width // stride].mean(dim=(1, 2))
                for name, stride in (("p3", 8), ("p4", 16), ("p5", 32))
            ]
            logits = model.style_head.predictors["style"](model.style_head.trunk(torch.cat(pooled)[None]))
            torch.testing.assert_close(output["style_scores"], logits.softmax(dim=1)[0])
        set_score_threshold(model, 1.1)
        again = model(batch)  # nothing detected
        instances, styles = model.inference_with_style(batch, [output["instances"] for output in again])
    assert len(runs) == 3
    for output, empty, given, style in zip(outputs, again, instances, styles, strict=True):
        assert len(empty["instances"]) == len(given) == 0
        assert torch.equal(output["style_scores"], empty["style_scores"])
        assert torch.equal(output["style_scores"], style["style_scores"])


def test_threads_do_not_get_each_others_features():
    model = style_model().eval()
    inputs = [make_input(size=(128, 128 - 32 * i), seed=i) for i in range(3)]
    with torch.no_grad():
        expected = [model([x])[0]["style_scores"] for x in inputs]
    found, barrier = [None] * 3, threading.Barrier(3, timeout=30)
    original = model.style_head.forward

    def forward(features, sizes):  # all three wait here, each with features of its own
        barrier.wait()
        return original(features, sizes)

    def work(i):
        with torch.no_grad():
            found[i] = model([inputs[i]])[0]["style_scores"]

    model.style_head.forward = forward
    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_copy_is_independent():
    model = style_model().eval()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        torch.nn.init.constant_(twin.style_head.predictors["style"].bias, 0)
        twin.style_head.predictors["style"].bias[4] = 50
        assert twin([make_input()])[0]["style_scores"].argmax() == 4
        assert model([make_input()])[0]["style_scores"].max() < 0.9


@pytest.mark.parametrize("masks", [False, True])
def test_augmentation_reads_the_style_from_the_plain_image(masks):
    cfg = style_cfg("TEST.AUG.MIN_SIZES", (96, 160), "TEST.AUG.MAX_SIZE", 200, masks=masks)
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    set_score_threshold(model, 0.05)
    with torch.no_grad():
        (output,) = AttributeRCNNWithTTA(cfg, model)([make_input()])
        (plain,) = model([make_input()])
    assert output["instances"].has("pred_attributes")
    for name in ("style_scores", "sub_style_scores"):
        torch.testing.assert_close(output[name], plain[name])


def test_the_traced_model_gives_styles_at_other_sizes():
    model = style_model().eval()
    set_score_threshold(model, 0.0)
    first = [{"image": make_input()["image"]}]
    with torch.no_grad():
        adapter = TracingAdapter(model, first)
        traced = torch.jit.trace(adapter, adapter.flattened_inputs, check_trace=False)
        for size, seed in (((128, 128), 0), (((96, 160)), 1), ((100, 70), 2)):
            image = make_input(size=size, seed=seed)["image"]
            (output,) = adapter.outputs_schema(traced(image))
            (expected,) = model([{"image": image}])
            for name in ("style_scores", "sub_style_scores"):
                torch.testing.assert_close(output[name], expected[name])
            torch.testing.assert_close(output["instances"].pred_attributes, expected["instances"].pred_attributes)


def test_a_few_steps_learn_the_style_of_flat_pictures():
    model = style_model()
    colors = torch.tensor([[200.0, 30, 30], [30, 200, 30], [30, 30, 200], [128, 128, 128]])
    batch = []
    for i, color in enumerate(colors):
        x = with_style([4, 8, 15, -1][i], [16, -1, 22, 4][i], size=(64, 64), garments=[])
        batch.append({**x, "image": color[:, None, None].expand(3, 64, 64).clone()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    with EventStorage():
        for _ in range(15):
            losses = model(batch)
            optimizer.zero_grad()
            (losses["loss_style"] + losses["loss_sub_style"]).backward()
            optimizer.step()
    assert losses["loss_style"] < 0.1 and losses["loss_sub_style"] < 0.1
    model.eval()
    for module in model.modules():  # so few steps leave no running means
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
    with torch.no_grad():
        outputs = model(batch)
    assert [int(o["style_scores"].argmax()) for o in outputs[:3]] == [4, 8, 15]
    assert [int(outputs[i]["sub_style_scores"].argmax()) for i in (0, 2, 3)] == [16, 22, 4]


def test_config():
    model = style_model("MODEL.STYLE_HEAD.IN_FEATURES", ["p5"], "MODEL.STYLE_HEAD.NUM_FC", 2)
    assert isinstance(model, AttributeRCNN)
    assert model.style_head.in_features == ("p5",) and model.style_head.strides == (32,)
    assert len([p for p in model.style_head.trunk.parameters() if p.dim() == 2]) == 2
    assert model.style_head.counts is None
    adjusted = style_model("MODEL.STYLE_HEAD.LOSS", "logit_adjusted", "MODEL.STYLE_HEAD.TAU", 0.5)
    assert adjusted.style_head.tau == 0.5 and adjusted.style_head.counts.shape == (2, 23)
    with pytest.raises(ValueError, match=r"STYLE_HEAD.LOSS is 'focal'; choose cross_entropy or logit_adjusted"):
        style_model("MODEL.STYLE_HEAD.LOSS", "focal")
    with pytest.raises(ValueError, match=r"IN_FEATURES names res5; the backbone has p3, p4, p5"):
        style_model("MODEL.STYLE_HEAD.IN_FEATURES", ["p3", "res5"])


def test_the_shipped_configs_are_their_base_with_a_style_head():
    for name in ("attribute_rcnn_R_50_FPN_1x.yaml", "quick/attribute_rcnn_tiny.yaml"):
        base, style = get_kfashion_cfg(), get_kfashion_cfg()
        base.merge_from_file(get_config_file(name))
        style.merge_from_file(get_config_file(name.replace("attribute_rcnn", "attribute_rcnn_style")))
        assert style.MODEL.META_ARCHITECTURE == "AttributeRCNN"
        base.MODEL.META_ARCHITECTURE, base.MODEL.STYLE_HEAD = "AttributeRCNN", style.MODEL.STYLE_HEAD
        assert style == base
