import json
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation import (
    evaluate_attributes,
    evaluate_predictions,
    metrics_document,
    read_metrics,
    read_predictions,
    write_metrics,
    write_predictions,
)
from kfashion_d2.evaluation.detection.matching import match_detections
from kfashion_d2.evaluation.evaluate import match_predictions
from tests.evaluation.predictions_by_hand import by_hand


def test_golden_in_every_setting():
    evaluation = evaluate_predictions(by_hand())
    metrics = evaluation.metrics
    # Of top, bottom and outer the first is found, at IoU 1.
    assert metrics.pop("bbox")["AP"] == pytest.approx(100 / 3)
    # Its attributes are all right, so it passes every F1 as well.
    assert metrics.pop("iou_f1")["AP_IOU50_F175"] == pytest.approx(100 / 3)
    assert 45 < metrics.pop("iou_f1_chance")["all_wrong/F1"] < 50
    assert list(metrics) == ["attributes", "attributes_class_agnostic", "attributes_gt_boxes"]
    assert evaluation.matches["attributes"].tolist() == [0, -1, -1]
    assert evaluation.matches["attributes_class_agnostic"].tolist() == [0, 1, -1]
    strict, agnostic, gt = metrics.values()
    assert (strict["garments"], strict["matched"], strict["recall"]) == pytest.approx((3, 1, 100 / 3))
    assert (agnostic["garments"], agnostic["matched"], agnostic["recall"]) == pytest.approx((3, 2, 200 / 3))
    assert [m["fit/accuracy"] for m in metrics.values()] == pytest.approx([100, 50, 100])
    assert [m["print/micro_f1"] for m in metrics.values()] == pytest.approx([100, 100, 200 / 3])
    assert gt["fit/support"] == 3 and "recall" not in gt
    without = evaluate_predictions(replace(by_hand(), gt_attributes=None), coco=False)
    assert list(without.metrics) == ["attributes", "attributes_class_agnostic"]
    assert evaluate_predictions(by_hand(), iou_threshold=0.9).metrics["attributes_class_agnostic"]["matched"] == 1


@pytest.mark.parametrize("classes", ["category", "part", "category_or_part"])
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_matching_of_all_images_is_that_of_each(classes, class_agnostic, monkeypatch):
    monkeypatch.setattr("kfashion_d2.evaluation.detection.matching._PAIRS_AT_ONCE", 50)
    predictions = make_predictions(40, detections_per_image=8, classes=classes)
    found = match_predictions(predictions, 0.5, class_agnostic=class_agnostic)
    assert (found >= 0).any() and (found < 0).any()
    for image in range(40):
        dets = slice(*predictions.det_offsets[image : image + 2])
        gts = slice(*predictions.gt_offsets[image : image + 2])
        expected = match_detections(
            predictions.det_boxes[dets],
            predictions.det_scores[dets],
            predictions.det_classes[dets],
            predictions.gt_boxes[gts],
            predictions.gt_classes[gts],
            gt_parts=predictions.gt_parts[gts],
            class_parts=predictions.info.class_parts,
            class_agnostic=class_agnostic,
        )
        assert found[gts].tolist() == np.where(expected >= 0, expected + dets.start, -1).tolist()


def test_metrics_from_the_file_are_those_of_the_run(tmp_path):
    predictions = make_predictions(50)
    write_predictions(predictions, tmp_path / "predictions.parquet")
    again = evaluate_predictions(read_predictions(tmp_path / "predictions.parquet"))
    direct = evaluate_predictions(predictions)
    assert repr(again.metrics) == repr(direct.metrics)
    kept = direct.matches["attributes"]
    plain = evaluate_attributes(
        predictions.det_attributes[kept[kept >= 0]], predictions.gt_targets[kept >= 0], predictions.schema
    )
    assert {name: direct.metrics["attributes"][name] for name in plain} == pytest.approx(plain, nan_ok=True)
    assert 0 < direct.metrics["attributes"]["recall"] < direct.metrics["attributes_class_agnostic"]["recall"] < 100
    assert direct.metrics["attributes_gt_boxes"]["head/labels"] > 0


def test_metrics_json(tmp_path):
    predictions = by_hand().with_info(model={"weights": "m.pth"})
    evaluation = evaluate_predictions(predictions)
    intervals = {"attributes/recall": (0.0, 66.7)}
    document = metrics_document(predictions, evaluation, intervals, {"replicates": 10})
    write_metrics(document, tmp_path / "metrics.json")

    def refuse(constant):
        raise AssertionError(constant)

    plain = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert plain["version"] == 1 and plain["dataset"] == "by_hand" and plain["model"] == {"weights": "m.pth"}
    assert plain["metrics"]["attributes/recall"] == pytest.approx(100 / 3)

    assert plain["support"]["attributes_gt_boxes/fit"] == 3
    assert plain["intervals"] == {"attributes/recall": [0.0, 66.7]} and plain["bootstrap"] == {"replicates": 10}
    fit = [r for r in plain["labels"]["attributes"] if r["group"] == "fit"]
    assert [r["support"] for r in fit] == [1, 0, 0, 0, 0, 0, 0] and fit[1]["recall"] is None
    back = read_metrics(tmp_path)
    assert set(back["metrics"]) == set(plain["metrics"])
    nans = [name for name, value in plain["metrics"].items() if value is None]
    assert all(math.isnan(back["metrics"][name]) for name in nans)


def test_refuses_other_metrics_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.json; tools/evaluate\.py"):
        read_metrics(tmp_path)
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 1}\n{"iteration": 2}\n')  # Detectron2's own, of training
    with pytest.raises(ValueError, match=r"not a metrics\.json of tools/evaluate"):
        read_metrics(path)
    path.write_text('{"version": 99, "metrics": {}}')
    with pytest.raises(ValueError, match="version 99, this program reads 1"):
        read_metrics(path)
