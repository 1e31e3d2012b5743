import importlib.util
import json

import pytest
from detectron2.engine import default_argument_parser

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.engine import Trainer
from kfashion_d2.evaluation import Calibration
from kfashion_d2.modeling import AttributeRCNNWithTTA
from tests.engine.tiny_config import ROOT, TINY, make_cfg

AUG = ["TEST.AUG.ENABLED", True, "TEST.AUG.MIN_SIZES", (96, 128), "TEST.AUG.MAX_SIZE", 128]


def test_training_ends_with_both_evaluations(demo_store, tmp_path):
    trainer = Trainer(make_cfg(demo_store, tmp_path, *AUG, "TEST.EVAL_PERIOD", 2))
    trainer.resume_or_load(resume=False)
    trainer.train()
    results = trainer.results
    assert set(results) == {"bbox", "attributes", "attributes_gt_boxes", "bbox_TTA", "attributes_TTA"}
    assert results["attributes_TTA"]["garments"] == results["attributes"]["garments"] > 0
    assert (tmp_path / "inference_TTA/kfashion_val/attribute_metrics.json").is_file()
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    # With all views at the end alone: they cost many times the plain evaluation.
    assert [("bbox/AP" in x, "bbox_TTA/AP" in x) for x in lines if "bbox/AP" in x][-1] == (True, True)
    assert sum("bbox_TTA/AP" in x for x in lines) == 1


@pytest.mark.parametrize("enabled", [True, False])
def test_eval_only(demo_store, tmp_path, monkeypatch, enabled):
    spec = importlib.util.spec_from_file_location("train_net", ROOT / "tools/train_net.py")
    train_net = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train_net)
    monkeypatch.setattr(
        "detectron2.utils.logger.setup_logger", lambda *args, **kwargs: None
    )  # it would outlive the test
    tested = []

    def test(cls, cfg, model, evaluators=None):
        tested.append((type(model).__name__, evaluators and evaluators[0].output_dir))
        return {"bbox": {"AP": float(len(tested))}}

    monkeypatch.setattr(Trainer, "test", classmethod(test))
    args = default_argument_parser().parse_args(
        ["--config-file", TINY, "--eval-only", "DATASETS.KFASHION.ROOT", str(demo_store), "OUTPUT_DIR", str(tmp_path)]
        + [str(word) for word in [*AUG, "TEST.AUG.ENABLED", enabled]]
    )
    args.num_cpus, args.overwrite = 0, False
    with pytest.raises(SystemExit, match=r"^train_net\.py: error: MODEL\.WEIGHTS is empty"):
        train_net.main(args)
    model = Trainer.build_model(make_cfg(demo_store, tmp_path))
    KFashionCheckpointer(model, str(tmp_path)).save("model")
    args.opts += ["MODEL.WEIGHTS", str(tmp_path / "model.pth")]
    results = train_net.main(args)
    plain = [("GeneralizedRCNN", None)]
    if enabled:
        assert results == {"bbox": {"AP": 1.0}, "bbox_TTA": {"AP": 2.0}}
        folder = str(tmp_path / "inference_TTA/kfashion_val")
        assert tested == [*plain, (AttributeRCNNWithTTA.__name__, folder)]
    else:
        assert results == {"bbox": {"AP": 1.0}} and tested == plain


def test_the_thresholds_of_a_calibration_hold_for_all_views_too(demo_store, tmp_path, monkeypatch):
    cfg = make_cfg(demo_store, tmp_path, *AUG)
    model = Trainer.build_model(cfg)
    head = model.roi_heads.attribute_head
    default = Calibration.default(head.schema)
    head.calibration = Calibration(
        head.schema, default.temperatures, {n: 0.25 + i / 100 for i, n in enumerate(head.schema.group_names)}
    )
    asked = []

    def test(cls, cfg, model, evaluators):
        asked.extend(evaluators)
        return {}

    monkeypatch.setattr(Trainer, "test", classmethod(test))
    Trainer.test_with_TTA(cfg, model)
    (evaluator,) = asked
    assert evaluator.info.threshold == dict(head.calibration.thresholds)
    assert not evaluator.reads_gt_boxes  # there is nothing to merge
