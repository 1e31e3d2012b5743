import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.predictions import make_predictions
from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.config import get_config_file
from kfashion_d2.engine import Trainer, setup_config
from kfashion_d2.evaluation import read_metrics, read_predictions, write_predictions

TOOL = Path(__file__).parents[2] / "tools/evaluate.py"
TINY = get_config_file("quick/attribute_rcnn_tiny.yaml")


def test_from_a_checkpoint_and_again_from_its_predictions(demo_store, tmp_path, run_tool, capsys):
    torch.manual_seed(0)
    cfg = setup_config(TINY, ["MODEL.DEVICE", "cpu"], register=False)
    KFashionCheckpointer(Trainer.build_model(cfg), str(tmp_path)).save("model")
    first, again = tmp_path / "first", tmp_path / "again"
    command = [
        sys.executable,
        str(TOOL),
        "--config-file",
        TINY,
        "--output",
        str(first),
        "--gt-boxes",
        "--num-cpus",
        "1",
    ]
    command += ["--bootstrap", "20", "--suspects", "7", "--max-images", "5", "DATASETS.KFASHION.ROOT", str(demo_store)]
    command += ["MODEL.WEIGHTS", str(tmp_path / "model.pth"), "DATALOADER.NUM_WORKERS", "0"]
    command += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "ground-truth boxes" in done.stdout and "sleeve length" in done.stdout
    names = {path.name for path in first.iterdir()}
    assert {"metrics.json", "predictions.parquet", "suspects.csv"} <= names
    assert read_predictions(first / "predictions.parquet").image_indices.tolist() == [0, 1, 3, 4, 6]
    with open(first / "suspects.csv", encoding="utf-8-sig", newline="") as file:
        suspects = list(csv.DictReader(file))
    assert len(suspects) <= 7 and all(row["file_name"] for row in suspects)

    run_tool("evaluate", "--predictions", first / "predictions.parquet", "--output", again, "--bootstrap", 20)
    capsys.readouterr()
    assert (again / "metrics.json").read_text() == (first / "metrics.json").read_text()
    document = read_metrics(first)
    metrics = document["metrics"]
    assert document["images"] == 5 and document["model"]["weights"].endswith("model.pth")
    assert {"bbox/AP", "attributes/recall", "attributes_class_agnostic/recall"} <= set(metrics)
    low, high = document["intervals"]["attributes_gt_boxes/mean/accuracy"]
    assert low <= metrics["attributes_gt_boxes/mean/accuracy"] <= high
    assert document["errors"]["points_lost"]["AP"] == pytest.approx(metrics["bbox/AP50"], abs=1e-6, nan_ok=True)


def test_thresholds_and_bootstrap_of_a_file(tmp_path, run_tool, capsys):
    write_predictions(make_predictions(30, detections_per_image=4), tmp_path / "p.parquet")
    run_tool("evaluate", "--predictions", tmp_path / "p.parquet", "--output", tmp_path / "out", "--bootstrap", 0)
    assert "accuracy" in capsys.readouterr().out
    plain = json.loads((tmp_path / "out/metrics.json").read_text())
    assert plain["bootstrap"] is None and plain["intervals"] == {} and plain["threshold"] == 0.5
    options = ["--threshold", 0.9, "--iou-threshold", 0.75, "--bootstrap", 10, "--language", "ko"]
    run_tool("evaluate", "--predictions", tmp_path / "p.parquet", "--output", tmp_path / "strict", *options)
    assert "소재" in capsys.readouterr().out
    strict = read_metrics(tmp_path / "strict")
    assert (strict["threshold"], strict["iou_threshold"], strict["bootstrap"]["replicates"]) == (0.9, 0.75, 10)
    assert strict["metrics"]["attributes/recall"] < plain["metrics"]["attributes/recall"]
    answered = [sum(row["answered"] for row in d["labels"]["attributes_gt_boxes"]) for d in (strict, plain)]
    assert answered[0] < answered[1]
    assert all(len(ends) == 2 for ends in strict["intervals"].values())
    assert not any(math.isnan(x) for x in np.ravel(strict["intervals"]["attributes/recall"]))


def test_mistakes_end_with_a_sentence(tmp_path, run_tool, capsys):
    with pytest.raises(SystemExit, match=r"evaluate\.py: error: no predictions file"):
        run_tool("evaluate", "--predictions", tmp_path / "none.parquet", "--output", tmp_path / "out")
    with pytest.raises(SystemExit):
        run_tool("evaluate", "--predictions", "p.parquet", "--output", tmp_path, "--gt-boxes")
    assert "are for a model" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_tool("evaluate", "--predictions", "p.parquet", "--output", tmp_path, "--bootstrap", -1)
    assert "0 or more" in capsys.readouterr().err
