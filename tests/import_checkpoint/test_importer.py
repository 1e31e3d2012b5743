import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.import_checkpoint import import_checkpoint, import_state_dict, read_state_dict
from kfashion_d2.schema import kfashion_schema
from tests.import_checkpoint.torchvision_models import make_ours, make_theirs, run_both

TOOL = Path(__file__).parents[2] / "tools" / "import_checkpoint.py"
FASTER, MASK = (f"torchvision_attribute_{kind}_R_50_FPN.yaml" for kind in ("rcnn", "mask_rcnn"))
KCOORD = "torchvision_kcoord_attribute_rcnn_R_50_FPN.yaml"


@pytest.fixture(scope="module")
def mask_state():
    return make_theirs("maskrcnn_resnet50_fpn").state_dict()


def old_names(state):
    """As torchvision before 0.13 named them, with batch norms frozen: without counters."""
    changes = [
        (r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2."),
        (r"rpn\.head\.conv\.0\.0\.", "rpn.head.conv."),
        (r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}."),
    ]
    result = {}
    for name, value in state.items():
        for pattern, to in changes:
            name = re.sub(pattern, to, name)
        if "num_batches_tracked" not in name:
            result[name] = value
    return result


def kcoord_state(length=10):
    """Of their model, and what else lies in their checkpoints: the heads that they started from."""
    state = old_names(make_theirs("fasterrcnn_resnet50_fpn", num_classes=25).state_dict())
    generator = torch.Generator().manual_seed(3)
    sizes = {"material": 29, "sleeve": length, "shirt_sleeve": 7, "neckline": 13, "collar": 11, "fit": 8}
    for layer, size in sizes.items():
        prefix = f"roi_heads.box_predictor.{layer}_score."
        state[prefix + "weight"] = torch.randn(size, 1024, generator=generator)
        state[prefix + "bias"] = torch.randn(size, generator=generator)
    state["orh.box_predictor.cls_score.weight"] = torch.zeros(14, 1024)
    return state


def as_file(path, state):
    torch.save({"epoch": 3, "model_state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    return path


def test_old_names_lead_to_the_same_places(mask_state):
    ours = make_ours(MASK)
    new = import_state_dict(mask_state, ours)
    old = import_state_dict(old_names(mask_state), ours)
    assert set(new.tensors) == set(old.tensors) == {k for k in ours.state_dict() if "cell_anchors" not in k}
    frozen = {name for name in new.tensors if name.endswith("running_var")}
    assert len(frozen) == 53
    for name, tensor in new.tensors.items():
        # Their frozen batch norms added nothing to the variance then, ours add 1e-5.
        expected = tensor - 1e-5 if name in frozen else tensor
        torch.testing.assert_close(old.tensors[name], expected, rtol=0, atol=0)
    assert set(new.left_out) == {name for name in mask_state if "num_batches_tracked" in name}
    assert not old.left_out and not new.fresh
    assert any("eps 0:" in note for note in old.notes)


def test_every_tensor_is_imported_or_has_its_reason(mask_state):
    state = {
        **old_names(mask_state),
        "roi_heads.match_predictor.last.weight": torch.zeros(2, 256),
        "roi_heads.temporal_aggregator.newnlb.g.weight": torch.zeros(2),
    }
    imported = import_state_dict(state, make_ours(FASTER, num_classes=13), new_class_layers=True)
    assert set(imported.sources) | set(imported.left_out) == set(state)
    assert not set(imported.sources) & set(imported.left_out)
    assert set(imported.sources.values()) == set(imported.tensors)
    reasons = imported.left_out
    assert "pairing" in reasons["roi_heads.match_predictor.last.weight"]
    assert "MASK_ON" in reasons["roi_heads.mask_head.mask_fcn1.weight"]
    assert "classes" in reasons["roi_heads.box_predictor.cls_score.bias"]
    assert sorted(imported.fresh) == [
        f"roi_heads.box_predictor.{layer}.{kind}" for layer in ("bbox_pred", "cls_score") for kind in ("bias", "weight")
    ]


def test_what_does_not_fit_is_listed_with_both_shapes(mask_state):
    with pytest.raises(ValueError) as error:
        import_state_dict(mask_state, make_ours(MASK, num_classes=4))
    text = str(error.value)
    assert "roi_heads.box_predictor.cls_score.weight (21, 1024) does not fit " in text
    assert "roi_heads.box_predictor.cls_score.weight (5, 1024)" in text
    assert "mask_fcn_logits.bias (21,) does not fit roi_heads.mask_head.predictor.bias (4,)" in text
    assert "new class layers" in text and "backbone" not in text
    lacking = {k: v for k, v in mask_state.items() if "layer_blocks.1" not in k} | {"rpn.extra.weight": torch.zeros(3)}
    with pytest.raises(ValueError) as error:
        import_state_dict(lacking, make_ours(MASK))
    assert "nothing for backbone.fpn_output3.weight (256, 256, 3, 3)" in str(error.value)
    assert "rpn.extra.weight (3,): no parameter of a torchvision" in str(error.value)
    v2 = make_theirs("maskrcnn_resnet50_fpn_v2").state_dict()
    with pytest.raises(
        ValueError, match=r"inner_blocks\.0\.1\.weight \(256,\): the config's model has no backbone\.fpn_lat"
    ):
        import_state_dict(v2, make_ours(MASK))


def test_kcoords_detector_finds_the_same():
    """Their class 0 is the background's, so their label i is our class i."""
    theirs = make_theirs("fasterrcnn_resnet50_fpn", num_classes=25)
    for layer in theirs.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 0.0
    few = ["MODEL.RPN.POST_NMS_TOPK_TEST", 100, "MODEL.ROI_HEADS.NAME", "AttributeStandardROIHeads"]
    ours = make_ours(KCOORD, *few, num_classes=25)
    imported = import_state_dict(kcoord_state(), ours)
    ours.load_state_dict(imported.tensors, strict=False)
    (_, _, found), (_, _, our_found) = run_both(theirs, ours, 128, 192)
    torch.testing.assert_close(our_found.pred_boxes.tensor, found["boxes"], rtol=0, atol=1e-4)
    torch.testing.assert_close(our_found.scores, found["scores"], rtol=0, atol=1e-4)
    assert torch.equal(our_found.pred_classes, found["labels"])


def test_kcoords_attributes_by_their_labels():
    few = ["MODEL.ROI_HEADS.NAME", "AttributeStandardROIHeads"]
    model, state = make_ours(KCOORD, *few, num_classes=25), kcoord_state()
    imported = import_state_dict(state, model)
    assert set(imported.sources) | set(imported.left_out) == set(state)
    assert not imported.fresh
    x = torch.randn(1, 1024)
    weight = imported.tensors["roi_heads.attribute_head.predictor.weight"]
    bias = imported.tensors["roi_heads.attribute_head.predictor.bias"]
    ours = model.roi_heads.attribute_head.to_schema(x @ weight.T + bias)[0]
    schema = model.roi_heads.attribute_schema

    def logit(group, korean):
        return ours[schema.slice(group).start + schema.group(group).index_of.find(korean)].item()

    def their_logit(layer, row):
        prefix = f"roi_heads.box_predictor.{layer}_score."
        return (x @ state[prefix + "weight"][row] + state[prefix + "bias"][row]).item()

    # Rows of their lists, counted by hand; row 0 is "none".
    for group, korean, layer, row in (
        ("material", "패딩", "material", 1),
        ("material", "데님", "material", 8),
        ("material", "우븐", "material", 28),
        ("sleeve_length", "없음", "shirt_sleeve", 1),
        ("sleeve_length", "긴팔", "shirt_sleeve", 6),
        ("neckline", "브이넥", "neckline", 3),
        ("neckline", "없음", "neckline", 0),
        ("collar", "테일러드칼라", "collar", 9),
        ("collar", "밴드칼라", "collar", 10),
        ("fit", "노멀", "fit", 1),
        ("fit", "벨보텀", "fit", 7),
    ):
        if korean == "없음" and group == "neckline":
            found = ours[schema.slice(group).start + schema.group(group).none_index].item()
        else:
            found = logit(group, korean)
        assert found == pytest.approx(their_logit(layer, row), abs=1e-3), (group, korean)
    assert "differs from run to run" in imported.left_out["roi_heads.box_predictor.sleeve_score.weight"]
    assert "copy" in imported.left_out["orh.box_predictor.cls_score.weight"]
    outputs = model.roi_heads.attribute_head.positions[1][1]
    assert torch.equal(weight[outputs], model.roi_heads.attribute_head.predictor.weight[outputs])
    notes = " ".join(imported.notes)
    assert "'너치드칼라'" in notes and "length: nothing was imported" in notes and "class 0 shares" in notes

    few += ["DATASETS.KFASHION.CLASSES", "category_or_part"]
    plain = import_state_dict(state, make_ours(FASTER, *few, num_classes=25))
    assert "other layers" in plain.left_out["roi_heads.box_predictor.fit_score.bias"]
    assert all(name.startswith("roi_heads.attribute_head.") for name in plain.fresh) and plain.fresh
    state["roi_heads.box_predictor.fit_score.weight"] = torch.zeros(5, 1024)
    with pytest.raises(ValueError, match=r"fit_score.weight is \(5, 1024\).*make \(8, 1024\)"):
        import_state_dict(state, model)


def test_files(tmp_path, mask_state):
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file(MASK))
    cfg.MODEL.DEVICE = "cpu"
    source = as_file(tmp_path / "theirs.pt", mask_state)
    imported = import_checkpoint(cfg, source, tmp_path / "out" / "ours.pth", new_class_layers=True)
    report = json.loads((tmp_path / "out" / "ours_import.json").read_text("utf-8"))
    assert report["imported"] == imported.sources and report["left_out"] == imported.left_out
    model = build_model(cfg)
    with pytest.raises(
        ValueError, match=r"ours\.pth has no weights for roi_heads\.box_predictor\.cls_score, .* and \d+ more"
    ):
        KFashionCheckpointer(model).load(str(tmp_path / "out" / "ours.pth"))
    model = build_model(cfg)
    training = KFashionCheckpointer(model, trainer=torch.nn.Linear(1, 1))
    training.load(str(tmp_path / "out" / "ours.pth"), checkpointables=[])
    assert torch.equal(model.backbone.bottom_up.res3[1].conv2.weight, mask_state["backbone.body.layer2.1.conv2.weight"])
    for content, message in ((torch.nn.Linear(2, 2), "no file of tensors"), ({"epoch": 3}, "holds no state dict")):
        torch.save(content, tmp_path / "wrong.pth")
        with pytest.raises(ValueError, match=message):
            read_state_dict(tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match=r"ours\.pt: .*\.pth"):
        import_checkpoint(cfg, source, tmp_path / "ours.pt")


def test_the_tool_brings_kcoord_to_the_predictors_door(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("detectron2.utils.logger.setup_logger", lambda **kwargs: None)
    source, output = as_file(tmp_path / "final_model", kcoord_state()), tmp_path / "kcoord.pth"

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["import_checkpoint.py", *map(str, args), "MODEL.DEVICE", "cpu"])
        runpy.run_path(str(TOOL), run_name="__main__")

    run(source, output, "--config-file", get_config_file(KCOORD))
    shown = capsys.readouterr().out
    assert "tensors imported into" in shown and "2 not imported: K-COORD takes the order" in shown
    saved = torch.load(output, weights_only=True)
    groups = ["material", "length", "sleeve_length", "neckline", "collar", "fit"]
    assert saved["kfashion_schema"]["hash"] == kfashion_schema().subset(groups).hash
    with pytest.raises(SystemExit, match=r"^import_checkpoint\.py: error: .*gone: no such file"):
        run(tmp_path / "gone", output, "--config-file", get_config_file(KCOORD))
    with pytest.raises(SystemExit, match=r"(?s)^import_checkpoint\.py: error: .*does not fit"):
        run(source, output, "--config-file", get_config_file(FASTER))
