import json
import shutil

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.config import get_config_file
from kfashion_d2.engine import Trainer, calibrate
from kfashion_d2.evaluation import evaluate_attributes
from tests.engine.tiny_config import make_cfg


@pytest.fixture(scope="module")
def trained(demo_store, tmp_path_factory):
    """The folder of a run of 20 iterations: enough to be sure of something."""
    folder = tmp_path_factory.mktemp("run")
    cfg = make_cfg(demo_store, folder, "SOLVER.MAX_ITER", 20, "DATASETS.TEST", ())
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    for name in [n for n in DatasetCatalog.list() if n.startswith("kfashion_")]:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    return folder


def tuned_cfg(demo_store, trained, output):
    weights = str(trained / "model_final.pth")
    return make_cfg(demo_store, output, "MODEL.WEIGHTS", weights, "DATASETS.TEST", ("kfashion_train",))


def test_what_was_tuned_is_what_an_evaluation_finds(demo_store, trained, tmp_path):
    cfg = tuned_cfg(demo_store, trained, tmp_path)
    cfg.TEST.MAX_EVAL_IMAGES = 1  # of evaluations while a model trains: tuning looks at all images
    run = calibrate(cfg, output=tmp_path / "tuned.pth", target_precision=0.6)
    cfg.TEST.MAX_EVAL_IMAGES = 0
    assert run.checkpoint == tmp_path / "tuned.pth" and not (trained / "model_final_calibration.json").exists()
    garments = sum(len(record["annotations"]) for record in DatasetCatalog.get("kfashion_train"))
    assert run.calibration.settings == {
        "dataset": "kfashion_train",
        "garments": garments,
        "f1": "micro",
        "target_precision": 0.6,
        "min_support": 10,
        "support": {name: int(values["support"]) for name, values in run.report.items()},
    }
    assert any(t != 1 for t in run.calibration.temperatures.values())
    assert json.loads(run.report_file.read_text("utf-8"))["calibration"] == run.calibration.to_dict()

    results = {}
    for name, weights in (("before", cfg.MODEL.WEIGHTS), ("after", str(run.checkpoint))):
        model = Trainer.build_model(cfg)
        KFashionCheckpointer(model).load(weights)
        evaluator = Trainer.build_evaluator(cfg, "kfashion_train", model=model)
        inference_on_dataset(model, Trainer.build_test_loader(cfg, "kfashion_train"), evaluator)
        predictions = evaluator.predictions
        # Before they are rounded to float16, which lets a score or two of so few change sides.
        scores, targets = evaluator.gt_box_scores, predictions.gt_targets
        results[name] = evaluate_attributes(scores, targets, run.calibration.schema, predictions.info.threshold)
    for group in run.calibration.schema.groups:
        report = run.report[group.name]
        if group.is_single:
            pairs = [("accuracy", "accuracy", "accuracy")]
        else:
            pairs = [("micro_f1", "f1_before", "f1_after"), ("mAP", None, None)]
        for metric, before, after in pairs:
            key = f"{group.name}/{metric}"
            if before is None:  # an order of scores, which no temperature changes
                assert results["after"][key] == pytest.approx(results["before"][key], abs=0.01, nan_ok=True)
                continue
            assert results["before"][key] == pytest.approx(report[before], abs=0.01, nan_ok=True)
            assert results["after"][key] == pytest.approx(report[after], abs=0.01, nan_ok=True)
    tuned = [g.name for g in run.calibration.schema.groups if run.calibration.temperatures[g.name] != 1]
    assert all(run.report[name]["nll_after"] < run.report[name]["nll_before"] for name in tuned)


def test_tuning_again_finds_the_same_and_training_moves_on_without(demo_store, trained, tmp_path):
    cfg = tuned_cfg(demo_store, trained, tmp_path)
    first = calibrate(cfg, output=tmp_path / "model_final.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    again = calibrate(cfg)  # in place, from calibrated weights
    assert again.calibration.to_dict() == first.calibration.to_dict()
    assert again.checkpoint == tmp_path / "model_final.pth"

    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    longer = make_cfg(demo_store, tmp_path, "SOLVER.MAX_ITER", 21, "DATASETS.TEST", ())
    states = []
    for folder in (trained, tmp_path):
        longer.OUTPUT_DIR = str(folder)
        trainer = Trainer(longer)
        trainer.resume_or_load(resume=True)
        assert trainer.start_iter == 20
        head = trainer.model.roi_heads.attribute_head
        assert (head.calibration is None) == (folder == trained)
        states.append((trainer.model.state_dict(), trainer.state_dict()["_trainer"]["optimizer"]["state"]))
    (weights, optimizer), (tuned_weights, tuned_optimizer) = states
    assert all(torch.equal(weights[key], tuned_weights[key]) for key in weights)
    assert all(torch.equal(optimizer[i]["exp_avg"], tuned_optimizer[i]["exp_avg"]) for i in optimizer)
    trainer.train()
    assert head.calibration is None
    assert "kfashion_calibration" not in torch.load(tmp_path / "model_final.pth", weights_only=True)


def test_an_average_is_evaluated_with_its_calibration_until_it_moves_on(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path, "SOLVER.EMA.ENABLED", True, "SOLVER.MAX_ITER", 2, "DATASETS.TEST", ())
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    cfg.DATASETS.TEST = ("kfashion_train",)
    cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    tuned = calibrate(cfg, min_support=1).calibration

    def resumed(iterations):
        cfg.SOLVER.MAX_ITER = iterations
        cfg.DATASETS.TEST = ()
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=True)
        return trainer, trainer.evaluated_model.roi_heads.attribute_head

    _, head = resumed(2)  # finished already: what --resume evaluates is what was tuned
    assert head.calibration.to_dict() == tuned.to_dict()
    trainer, head = resumed(3)
    trainer.train()
    assert head.calibration is None and trainer.model.roi_heads.attribute_head.calibration is None


def test_the_tool(demo_store, trained, tmp_path, run_tool, capsys):
    config = ["--config-file", get_config_file("quick/attribute_rcnn_tiny.yaml")]
    data = ["DATASETS.KFASHION.ROOT", demo_store, "DATALOADER.NUM_WORKERS", "0"]
    weights = ["MODEL.WEIGHTS", trained / "model_final.pth"]
    run_tool("calibrate", *config, "--output", tmp_path / "tuned.pth", "--f1", "macro", *data, *weights)
    shown = capsys.readouterr().out
    assert shown.count("single-label group") == shown.count("multi-label group") == 2
    assert "kfashion_val" in shown and str(tmp_path / "tuned_calibration.json") in shown
    assert torch.load(tmp_path / "tuned.pth", weights_only=True)["kfashion_calibration"]["settings"]["f1"] == "macro"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tuned.pth", "tuned_calibration.json"]
    # Without --output the checkpoint as it was stays beside it, through a second calibration too.
    shutil.copy(trained / "model_final.pth", tmp_path / "mine.pth")
    before = (tmp_path / "mine.pth").read_bytes()
    for _ in range(2):
        run_tool("calibrate", *config, *data, "MODEL.WEIGHTS", tmp_path / "mine.pth")
        assert f"The checkpoint as it was: {tmp_path / 'mine_uncalibrated.pth'}" in capsys.readouterr().out
        assert (tmp_path / "mine_uncalibrated.pth").read_bytes() == before != (tmp_path / "mine.pth").read_bytes()
    for extra, message in (
        (["MODEL.WEIGHTS", ""], "MODEL.WEIGHTS is empty"),
        (["MODEL.WEIGHTS", tmp_path / "gone.pth"], "gone.pth: no such file"),
        ([*weights, "--dataset", "kfashion_test"], "no K-Fashion dataset 'kfashion_test'; registered: .*kfashion_val"),
        ([*weights, "--target-precision", "2"], "target_precision=2.0"),
    ):
        with pytest.raises(SystemExit, match=rf"^calibrate\.py: error: .*{message}"):
            run_tool("calibrate", *config, *data, *extra)
