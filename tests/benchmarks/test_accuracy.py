"""The ablation: what its rows differ in, that finished runs are kept, and its arithmetic."""

import argparse
import json
import math

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from benchmarks import accuracy
from benchmarks.accuracy_head import register_head
from benchmarks.accuracy_plot import plot_ablation
from benchmarks.accuracy_report import score_metrics, tables, tuned_macro_f1, write_report
from benchmarks.accuracy_run import RunArrays, run_once
from benchmarks.accuracy_variants import GROUPS, VARIANTS
from kfashion_d2 import kfashion_schema
from kfashion_d2.config import get_config_file
from kfashion_d2.engine import Trainer, setup_config
from kfashion_d2.evaluation import evaluate_attributes
from kfashion_d2.modeling import ROI_ATTRIBUTE_HEAD_REGISTRY

SCHEMA = kfashion_schema().subset(GROUPS)


@pytest.fixture(autouse=True)
def clean_catalogs():
    yield
    for name in ("kfashion_train", "kfashion_val"):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def config_of(name, **options):
    return setup_config(get_config_file(VARIANTS[name].config), VARIANTS[name].opts, register=False, **options)


def flat(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def differences(name, other):
    ours, theirs = dict(flat(config_of(name))), dict(flat(config_of(other)))
    return {key.removeprefix("MODEL.ROI_ATTRIBUTE_HEAD.") for key in ours if ours[key] != theirs[key]}


def test_the_baseline_is_the_shipped_config():
    shipped = setup_config(get_config_file("quick/kcoord_attribute_rcnn_tiny.yaml"), register=False)
    assert dict(flat(config_of("kcoord"))) == dict(flat(shipped))


def test_each_step_changes_one_thing():
    # K-COORD's head takes the mean over its groups itself.
    assert differences("masking", "kcoord") == {"NAME", "LOSS_WEIGHT"}
    weight = config_of("masking").MODEL.ROI_ATTRIBUTE_HEAD.LOSS_WEIGHT
    assert weight == pytest.approx(1 / 6)
    assert differences("foreground", "masking") == {"NAME"}
    assert differences("class", "foreground") == {"CLASS_EMBED_DIM"}
    assert differences("trunk", "class") == {"FEATURES", "NUM_CONV", "NUM_FC"}
    assert differences("asymmetric", "trunk") == {"LOSS.MULTI"}
    assert differences("adjusted", "asymmetric") == {"LOSS.SINGLE"}
    sampler = {"SAMPLER_TRAIN", "REPEAT_LABELS", "REPEAT_THRESHOLD"}
    assert differences("repeat", "adjusted") == {f"DATALOADER.{key}" for key in sampler}


def test_the_step_with_the_background_has_its_head_when_a_run_begins():
    register_head()
    register_head()
    head = ROI_ATTRIBUTE_HEAD_REGISTRY.get(config_of("masking").MODEL.ROI_ATTRIBUTE_HEAD.NAME)
    assert head.trains_on_background and head.__module__ == "benchmarks.accuracy_head"
    assert not ROI_ATTRIBUTE_HEAD_REGISTRY.get(
        config_of("foreground").MODEL.ROI_ATTRIBUTE_HEAD.NAME
    ).trains_on_background


@pytest.mark.parametrize("name", VARIANTS)
def test_every_row_has_the_same_groups_classes_and_schedule(name):
    cfg = config_of(name)
    assert cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS == GROUPS
    assert cfg.DATASETS.KFASHION.CLASSES == "category_or_part"
    assert differences(name, "kcoord") & {"SOLVER.BASE_LR", "SOLVER.IMS_PER_BATCH", "SOLVER.MAX_ITER"} == set()


def test_metrics_by_hand():
    # Two labels of fit and one of material are true somewhere; nothing else is known.
    scores, targets = np.zeros((4, SCHEMA.num_labels)), np.full((4, SCHEMA.num_labels), -1, dtype=np.int8)
    fit, material = SCHEMA.slice("fit").start, SCHEMA.slice("material").start
    targets[:, SCHEMA.slice("fit")] = targets[:, SCHEMA.slice("material")] = 0
    targets[:3, fit] = targets[3, fit + 1] = 1
    scores[:2, fit] = scores[2:, fit + 1] = 0.9  # F1: 2 * 2 / (3 + 2) and 2 * 1 / (1 + 2)
    targets[0, material] = 1
    scores[:2, material] = 0.6, 0.8  # F1: 2 / (1 + 2); AP 1 / 2
    counts = np.zeros((2, SCHEMA.num_labels), dtype=np.int64)
    counts[:, [fit, fit + 1, material]] = [[300, 2, 5], [1000, 1000, 1000]]  # head, tail, tail
    found = score_metrics(scores, targets, counts, SCHEMA)
    assert found["fit/macro_f1"] == pytest.approx(100 * (4 / 5 + 2 / 3) / 2)
    assert found["material/macro_f1"] == pytest.approx(100 * 2 / 3)
    assert found["macro_f1"] == pytest.approx((found["fit/macro_f1"] + found["material/macro_f1"]) / 2)
    assert found["accuracy"] == pytest.approx(75)
    assert found["f1_head"] == pytest.approx(80)
    assert found["f1_tail"] == pytest.approx(100 * 2 / 3)
    assert math.isnan(found["f1_mid"]) and math.isnan(found["neckline/macro_f1"])
    # AP of fit's labels: rows 0 and 1 first, then two of equal score with one hit; row 3 shares its score with row 2.
    assert found["mAP"] == pytest.approx(100 * (((1 + 1 + 3 / 4) / 3 + 1 / 2) / 2 + 1 / 2) / 2)


def test_thresholds_are_tuned_on_the_other_half():
    material = kfashion_schema().subset(["material"])
    scores, targets = np.zeros((8, material.num_labels)), np.zeros((8, material.num_labels), dtype=np.int8)
    # Even garments part at 0.2 to 0.3, odd ones at 0.6 to 0.7.
    scores[:, 0], targets[:, 0] = [0.3, 0.7, 0.3, 0.7, 0.2, 0.6, 0.2, 0.6], [1, 1, 1, 1, 0, 0, 0, 0]
    # The odd ones' threshold answers no even garment (0); the even ones' answers every odd one (F1 4 / (2 + 4)).
    assert tuned_macro_f1(scores, targets, material) == pytest.approx((0 + 4 / 6) / 2)
    scores[1::2, 0] = scores[::2, 0]
    assert tuned_macro_f1(scores, targets, material) == 1


def test_finished_runs_are_kept(demo_store, tmp_path, monkeypatch):
    (tmp_path / "store").symlink_to(demo_store)
    trained = []

    def fake_run(cfg, seed, log_file):
        log_file.parent.mkdir(exist_ok=True)
        trained.append((cfg.MODEL.ROI_ATTRIBUTE_HEAD.NAME, seed, cfg.SOLVER.MAX_ITER))
        if len(trained) == 2:
            raise KeyboardInterrupt
        return RunArrays(*(np.zeros((1, 1)),) * 5), {}

    monkeypatch.setattr(accuracy, "run_once", fake_run)
    assert accuracy.ensure_run(tmp_path, "kcoord", 0, 5)
    with pytest.raises(KeyboardInterrupt):
        accuracy.ensure_run(tmp_path, "kcoord", 1, 5)
    assert not accuracy.ensure_run(tmp_path, "kcoord", 0, 5)  # done
    assert accuracy.ensure_run(tmp_path, "kcoord", 1, 5)  # was stopped
    assert accuracy.ensure_run(tmp_path, "kcoord", 0, 6)  # another config
    assert [t[1:] for t in trained] == [(0, 5), (1, 5), (1, 5), (0, 6)]
    result = tmp_path / "runs" / "kcoord_0.json"
    found = json.loads(result.read_text())
    assert found["iterations"] == 6
    del found["recipe"]["SOLVER.GAMMA"]  # as if a later version had brought it
    result.write_text(json.dumps(found))
    assert not accuracy.ensure_run(tmp_path, "kcoord", 0, 6)
    assert len(trained) == 4


def test_other_data_are_refused(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps({"num_train": 5, "num_val": 2, "imbalance": 100, "seed": 0}))
    args = argparse.Namespace(num_train=6, num_val=2, imbalance=100)
    with pytest.raises(ValueError, match="other data"):
        accuracy.make_store(tmp_path, args)


def row_of(base):
    names = [
        "macro_f1",
        "tuned_macro_f1",
        "mAP",
        "accuracy",
        *(f"{kind}_{band}" for kind in ("f1", "ap") for band in ("head", "mid", "tail")),
    ]
    names += [f"{group}/macro_f1" for group in GROUPS]
    row = {f"{k}/{n}": base for k in ("gt_boxes", "gt_boxes_found_class", "detections") for n in names}
    return row | dict.fromkeys(("AP", "AP50", "ms", "test_ms", "parameters", "matched"), 2 * base)


def test_tables_show_means_and_spreads(tmp_path):
    results = {"kcoord": [row_of(10.0), row_of(13.0)], "default": [row_of(math.nan)]}
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables(results).splitlines() if "|" in line]
    found = {line[0]: line for line in lines[:6]}
    # Mean 11.5, sample standard deviation sqrt(4.5); AP50 and milliseconds are twice as much.
    assert found["K-COORD recipe"] == ["K-COORD recipe", *["11.5 ± 2.1"] * 7, "23.0 ± 4.2", "23 ± 4", "2"]
    assert found["the default"] == ["the default", *["-"] * 9, "1"]
    plot_ablation(results, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[1:4] == b"PNG"


def test_the_page_keeps_what_people_wrote(tmp_path, monkeypatch):
    results = {"kcoord": [row_of(10.0)]}
    monkeypatch.setattr("benchmarks.accuracy_report.run_metrics", lambda folder: results)
    docs = tmp_path / "docs"
    write_report(tmp_path, docs)
    page = (docs / "ablation.md").read_text()
    assert page.startswith("# The ablation") and "| 10.0 " in page
    (docs / "ablation.md").write_text(page.replace("# The ablation", "# Ours") + "\nWhat we learnt.\n")
    results["kcoord"] = [row_of(20.0)]
    write_report(tmp_path, docs)
    write_report(tmp_path, docs)
    page = (docs / "ablation.md").read_text()
    assert page.startswith("# Ours") and page.endswith("What we learnt.\n")
    assert "| 20.0 " in page and "| 10.0 " not in page and page.count("<!--") == 2


def test_a_run_scores_as_the_trainers_own_evaluation(demo_store, tmp_path, monkeypatch):
    opts = [*VARIANTS["foreground"].opts, "SOLVER.MAX_ITER", 2, "SOLVER.IMS_PER_BATCH", 2, "DATALOADER.NUM_WORKERS", 0]
    opts += ["DATASETS.KFASHION.ROOT", str(demo_store), "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0]
    cfg = setup_config(get_config_file(VARIANTS["foreground"].config), opts)
    models = []
    monkeypatch.setattr(Trainer, "train", lambda self: models.append(self.model) or super(Trainer, self).train())
    arrays, found = run_once(cfg, 0, tmp_path / "log.txt")
    cfg.OUTPUT_DIR = str(tmp_path / "own")
    expected = Trainer.test(cfg, models[0])
    assert len(arrays.targets) == expected["attributes"]["garments"] > 8
    on_gt = evaluate_attributes(arrays.gt_boxes, arrays.targets, SCHEMA)
    assert on_gt == pytest.approx(expected["attributes_gt_boxes"], nan_ok=True)
    assert found["bbox"] == pytest.approx(expected["bbox"], nan_ok=True)
    assert (arrays.detections[~arrays.matched] == 0).all() and arrays.matched.any()
    assert min(found["cpu_seconds"], found["wall_seconds"], found["test_cpu_seconds"]) > 0
