import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from kfashion_d2 import export
from kfashion_d2.checkpoint import KFashionCheckpointer, add_calibration
from kfashion_d2.evaluation import Calibration
from kfashion_d2.export import export_model
from kfashion_d2.exported import ExportedModel, network_size
from kfashion_d2.predictor import KFashionPredictor
from kfashion_d2.schema import kfashion_schema
from tests.tiny_model import CONFIG, IMAGE, tiny_cfg

TOOL = Path(__file__).parents[1] / "tools" / "export_model.py"
KINDS = {
    "standard": [],
    "masks, styles, and choices of our own": [
        *("MODEL.META_ARCHITECTURE", "AttributeRCNN"),
        *("MODEL.MASK_ON", True, "MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead"),
        *("MODEL.ROI_MASK_HEAD.NUM_CONV", 1, "MODEL.ROI_MASK_HEAD.CONV_DIM", 16),
        *("MODEL.ANCHOR_GENERATOR.NAME", "TorchvisionAnchorGenerator", "INPUT.FORMAT", "RGB"),
        *("MODEL.ROI_ATTRIBUTE_HEAD.CLASS_EMBED_DIM", 8, "MODEL.ROI_ATTRIBUTE_HEAD.MASK_IMPOSSIBLE", True),
    ],
    "cascade": ["MODEL.ROI_HEADS.NAME", "AttributeCascadeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", True],
}


def make_cfg(folder, *opts):
    """A model that is sure of what it sees, so that no rounding changes the order of its garments; calibrated."""
    cfg = tiny_cfg("TEST.DETECTIONS_PER_IMAGE", 6, *opts)
    torch.manual_seed(0)
    model = build_model(cfg)
    with torch.no_grad():
        model.proposal_generator.rpn_head.objectness_logits.weight *= 20
        predictors = model.roi_heads.box_predictor
        for predictor in predictors if isinstance(predictors, torch.nn.ModuleList) else [predictors]:
            predictor.cls_score.weight *= 20
            predictor.bbox_pred.weight *= 5
        model.roi_heads.attribute_head.predictor.weight *= 8
    KFashionCheckpointer(model, str(folder)).save("model")
    schema = model.roi_heads.attribute_schema
    temperatures = {name: 0.6 + 0.2 * i for i, name in enumerate(schema.group_names)}
    thresholds = {group.name: 0.35 if group.is_single else 0.2 for group in schema.groups}
    add_calibration(folder / "model.pth", Calibration(schema, temperatures, thresholds))
    cfg.MODEL.WEIGHTS = str(folder / "model.pth")
    return cfg


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    """Of the standard model: its config; the folder has a.png and out/."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("standard")
    cv2.imwrite(str(folder / "a.png"), IMAGE)
    cfg = make_cfg(folder)
    return cfg, folder, export_model(cfg, folder / "out", images=[folder / "a.png"])


@pytest.mark.parametrize("kind", KINDS)
def test_exported_models_find_what_the_predictor_finds(kind, standard, tmp_path):
    cfg, folder, run = standard
    if kind != "standard":
        cfg = make_cfg(tmp_path, *KINDS[kind])
        run = export_model(cfg, tmp_path / "out", images=[folder / "a.png"])
    assert [path.name for path in run.files] == ["model.ts", "model.onnx", "model.json"]
    assert run.garments > 3 and all(difference < 1e-3 for difference in run.differences.values())
    predictor = KFashionPredictor(cfg, score_threshold=None, top_k=2)
    for suffix in (".ts", ".onnx"):
        exported = ExportedModel(run.files[0].with_suffix(suffix), top_k=2)
        for picture in (IMAGE, np.ascontiguousarray(IMAGE[:77, :111]), IMAGE[:, :95]):
            expected, found = predictor(picture), exported(picture)
            assert len(expected["garments"]) == len(found["garments"]) > 1
            for ours, theirs in zip(expected["garments"], found["garments"], strict=True):
                assert theirs["bbox"] == pytest.approx(ours["bbox"], abs=1e-3)
                assert theirs["score"] == pytest.approx(ours["score"], abs=1e-4)
                assert (theirs["class"], theirs["part"]) == (ours["class"], ours["part"])
                assert theirs["attributes"].keys() == ours["attributes"].keys()
                for group, labels in ours["attributes"].items():
                    assert [x["label"] for x in theirs["attributes"][group]] == [x["label"] for x in labels]
                    scores = [x["score"] for x in labels]
                    assert [x["score"] for x in theirs["attributes"][group]] == pytest.approx(scores, abs=1e-4)
            said = {x[0]["label"] for g in expected["garments"] for x in g["attributes"].values() if x}
            assert "unsure" in said and len(said) > 1
            for task in ("style", "sub_style"):
                assert (task in found) == ("styles" in kind)
                for ours, theirs in zip(expected.get(task, ()), found.get(task, ()), strict=True):
                    assert theirs == {**ours, "score": pytest.approx(ours["score"], abs=1e-4)}
            assert ("masks" in found) == ("masks" in kind)
            if "masks" in kind:
                assert found["masks"].shape[1:] == (28, 28)


def test_the_json_file_tells_all(standard):
    cfg, folder, _ = standard
    facts = json.loads((folder / "out/model.json").read_text("utf-8"))
    predictor = KFashionPredictor(cfg, score_threshold=None)
    schema = predictor.schema
    assert facts["outputs"] == ["boxes", "scores", "classes", "attributes"]
    assert facts["classes"][2] == {"name": "outer", "korean": "아우터", "part": "outer"}
    assert (facts["input"]["channels"], facts["input"]["shortest_edge"]) == ("BGR", 128)
    group = facts["groups"][schema.group_names.index("material")]
    assert group["columns"] == [schema.slice("material").start, schema.slice("material").stop]
    assert group["labels"][3] == {"name": "denim", "korean": "데님"}
    assert facts["thresholds"] == dict(predictor.calibration.thresholds)
    assert facts["calibration"] == predictor.calibration.to_dict()


def test_a_graph_that_differs_is_refused(standard, tmp_path, monkeypatch):
    """Here the model changes between the trace and the comparison."""

    def compare(predictor, *args):
        with torch.no_grad():
            predictor.model.roi_heads.attribute_head.predictor.bias += 0.5
        return difference(predictor, *args)

    difference = export._difference
    monkeypatch.setattr(export, "_difference", compare)
    cfg, folder, _ = standard
    with pytest.raises(RuntimeError, match=r"model\.ts: attributes differs from the model's by"):
        export_model(cfg, tmp_path / "out", formats=["torchscript"], images=[folder / "a.png"])


def test_onnx_needs_neither_detectron2_nor_torch(standard):
    cfg, folder, _ = standard
    code = (
        "import sys\n"
        "for name in ('torch', 'detectron2', 'torchvision'): sys.modules[name] = None\n"
        "from kfashion_d2.exported import ExportedModel\n"
        f"print(len(ExportedModel({str(folder / 'out/model.onnx')!r})({str(folder / 'a.png')!r})['garments']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TOOL.parents[1])
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == len(KFashionPredictor(cfg, score_threshold=None)(IMAGE)["garments"]) > 1


def test_mistakes(standard, tmp_path):
    cfg, folder, run = standard
    with pytest.raises(ValueError, match="no export format coreml; choose from torchscript, onnx"):
        export_model(cfg, tmp_path / "out", formats=["coreml"])
    with pytest.raises(FileNotFoundError, match=r"gone\.onnx: no such file"):
        ExportedModel(folder / "out/gone.onnx")
    with pytest.raises(ValueError, match="was exported with schema 'kfashion'"):
        ExportedModel(run.files[0], schema=kfashion_schema())
    with pytest.raises(ValueError, match="expected a uint8"):
        ExportedModel(run.files[0])(IMAGE[:, :, 0])


@pytest.mark.parametrize("size", [(800, 1066), (1200, 800), (301, 777), (50, 2000), (640, 640)])
def test_pictures_are_resized_as_detectron2_does(size):
    from detectron2.data.transforms import ResizeShortestEdge

    for shortest, longest in ((800, 1333), (128, 128), (333, 500)):
        expected = ResizeShortestEdge.get_output_shape(*size, shortest, longest)
        assert network_size(*size, shortest, longest) == expected


def test_the_tool(standard, tmp_path, run_tool, capsys):
    cfg, folder, _ = standard

    def run(*args):
        run_tool("export_model", "--config-file", CONFIG, "--output", tmp_path / "out", *args)

    opts = ["--format", "torchscript", "--score-threshold", "0.1", "--image", folder / "a.png"]
    run(*opts, "MODEL.WEIGHTS", cfg.MODEL.WEIGHTS)
    assert "torchscript: at most" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/model.json").read_text("utf-8"))["score_threshold"] == 0.1
    with pytest.raises(SystemExit, match=r"^export_model\.py: error: MODEL\.WEIGHTS is empty"):
        run()


def test_a_picture_without_garments(standard, tmp_path):
    cfg, folder, _ = standard
    cfg = cfg.clone()
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.999
    run = export_model(cfg, tmp_path / "out", formats=["onnx"], images=[folder / "a.png"])
    assert run.garments == 0
    found = ExportedModel(run.files[0])(IMAGE)
    assert found["garments"] == [] and found["attributes"].shape == (0, 195)
