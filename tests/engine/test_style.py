"""The way of the style through a run: counted, trained, evaluated, saved, predicted, drawn."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from PIL import Image

from kfashion_d2.config import get_config_file
from kfashion_d2.data.statistics.label_statistics import style_counts
from kfashion_d2.engine import Trainer
from kfashion_d2.predictor import KFashionPredictor, predict_files
from tests.engine.tiny_config import losses_of, make_cfg

STYLE_TINY = get_config_file("quick/attribute_rcnn_style_tiny.yaml")
STYLE = ["MODEL.META_ARCHITECTURE", "AttributeRCNN", "MODEL.STYLE_HEAD.LOSS", "logit_adjusted"]
IMAGE = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)


def test_the_whole_way(demo_store, tmp_path, run_tool):
    cfg = make_cfg(demo_store, tmp_path, *STYLE)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    before = trainer.model.style_head.predictors["style"].weight.detach().clone()
    trainer.train()
    assert not torch.equal(before, trainer.model.style_head.predictors["style"].weight)
    last = losses_of(tmp_path)
    assert 0 < last["loss_style"] < 5 and "loss_sub_style" in last and "style/style_accuracy" in last

    results = trainer.results
    assert list(results) == ["bbox", "attributes", "attributes_gt_boxes", "style", "sub_style"]
    dataset = DatasetCatalog.get("kfashion_val")
    for task in ("style", "sub_style"):
        assert results[task]["support"] == sum(dataset[i][task] >= 0 for i in range(len(dataset)))
        assert all(type(value) is float for value in results[task].values())
    assert results["style"]["support"] > 0
    assert (tmp_path / "inference" / "kfashion_val" / "style_metrics.json").is_file()

    weights = str(tmp_path / "model_final.pth")
    saved = torch.load(weights, weights_only=True)["model"]
    assert np.array_equal(saved["style_head.counts"], style_counts(DatasetCatalog.get("kfashion_train")))

    cfg.merge_from_list(["MODEL.WEIGHTS", weights, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.99])
    predictor = KFashionPredictor(cfg, score_threshold=None, style_top_k=2)
    result = predictor(IMAGE)
    assert result["garments"] == [] and result["style_scores"].shape == (23,)
    for task in ("style", "sub_style"):
        values, ids = result[f"{task}_scores"].topk(2)
        styles = [predictor.schema.styles.labels[i] for i in ids]
        assert [s["label"] for s in result[task]] == [s.name for s in styles]
        assert [s["korean"] for s in result[task]] == [s.korean for s in styles]
        assert [s["score"] for s in result[task]] == pytest.approx(values.tolist())

    for name in ("a.png", "b.png"):
        Image.fromarray(IMAGE[:, :, ::-1]).save(tmp_path / name)
    run = predict_files(predictor, [tmp_path / "a.png"], tmp_path / "styled")
    (entry,) = json.loads((tmp_path / "styled" / "predictions.json").read_text("utf-8"))
    assert entry == run.predictions[0]
    assert (entry["style"], entry["sub_style"]) == (result["style"], result["sub_style"])
    args = ["--config-file", STYLE_TINY, "--input", tmp_path / "a.png", "--output", tmp_path / "tool"]
    run_tool("predict", *args, "--style-top-k", "1", "MODEL.WEIGHTS", weights)
    (entry,) = json.loads((tmp_path / "tool" / "predictions.json").read_text("utf-8"))
    assert entry["style"] == result["style"][:1]
    assert "sub_style" not in entry  # that config leaves it out
    # The caption: strip it, and the picture is what a model without styles draws.
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    plain = KFashionPredictor(cfg, score_threshold=None)
    assert sorted(plain(IMAGE)) == ["garments", "instances"]
    (other,) = predict_files(plain, [tmp_path / "b.png"], tmp_path / "plain").predictions
    assert "style" not in other
    styled, bare = (
        np.asarray(Image.open(tmp_path / folder / name)) for folder, name in (("styled", "a.png"), ("plain", "b.png"))
    )
    assert len(styled) > len(bare)
    np.testing.assert_array_equal(styled[len(styled) - len(bare) :], bare)


def test_a_model_without_the_head_is_evaluated_as_ever(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path, *STYLE, "MODEL.STYLE_HEAD.SUB_STYLE", False)

    assert Trainer.build_evaluator(cfg, "kfashion_val").style_tasks == ("style",)
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    assert Trainer.build_evaluator(cfg, "kfashion_val").style_tasks == ()


def test_a_style_head_starts_on_a_trained_detector(demo_store, tmp_path):
    """Weights without the head load into a model with it, and nothing else changes."""
    plain = Trainer(make_cfg(demo_store, tmp_path, "SOLVER.MAX_ITER", 1))
    plain.checkpointer.save("detector")
    cfg = make_cfg(demo_store, tmp_path, *STYLE, "MODEL.WEIGHTS", str(tmp_path / "detector.pth"))
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    ours = trainer.model.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in plain.model.state_dict().items())
    assert trainer.model.style_head.counts.sum() > 0


def test_no_style_asked_for_is_refused(tmp_path, demo_store):
    cfg = make_cfg(demo_store, tmp_path, "MODEL.WEIGHTS", get_config_file("quick/attribute_rcnn_tiny.yaml"))
    with pytest.raises(ValueError, match="style_top_k=0: ask for at least one label"):
        KFashionPredictor(cfg, score_threshold=None, style_top_k=0)
