import math

import numpy as np
import pytest

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation import bootstrap_metrics, confidence_intervals, evaluate_predictions
from kfashion_d2.evaluation.analysis.bootstrap import image_copies
from kfashion_d2.evaluation.results.metrics_file import flat_metrics


def test_each_replicate_is_the_evaluation_of_its_images(monkeypatch):
    """The slow version: put the drawn images together, copies and all, and evaluate them from the beginning."""
    monkeypatch.setattr("kfashion_d2.evaluation.analysis.bootstrap._IMAGES_AT_ONCE", 7)
    monkeypatch.setattr("kfashion_d2.evaluation.analysis.bootstrap._REPLICATES_AT_ONCE", 2)
    monkeypatch.setattr("kfashion_d2.evaluation.analysis.bootstrap_ap._REPLICATES_AT_ONCE", 2)
    predictions = make_predictions(25, detections_per_image=6, styles=True).with_info(threshold={"print": 0.3})
    samples = bootstrap_metrics(predictions, evaluate_predictions(predictions), 3, seed=5)
    copies = image_copies(25, 3, seed=5)
    assert (copies.sum(axis=0) == 25).all() and copies.max() > 1
    for replicate in range(3):
        drawn = predictions.select(np.repeat(np.arange(25), copies[:, replicate]))
        expected = flat_metrics(evaluate_predictions(drawn).metrics)
        for name, values in samples.items():
            assert values[replicate] == pytest.approx(expected[name], nan_ok=True), name
    names = {"recall", "fit/accuracy", "fit/balanced_accuracy", "print/micro_f1", "print/mAP", "print/macro_f1"}
    names |= {"mean/accuracy", "mean/macro_f1", "mean/mAP", "mean/micro_f1", "mean/balanced_accuracy", "tail/f1"}
    assert {f"attributes/{name}" for name in names} <= set(samples)
    assert {"bbox/AP", "bbox/AP50", "bbox/AP75"} <= set(samples) and (predictions.gt_classes < 0).any()
    assert {"style/top1", "style/top3", "style/macro_f1"} <= set(samples)
    assert "attributes_gt_boxes/head/f1" in samples and "attributes_gt_boxes/recall" not in samples


def test_intervals_shrink_with_the_number_of_images_and_hold_the_value():
    widths = []
    for num in (50, 800):
        predictions = make_predictions(num, detections_per_image=4)
        evaluation = evaluate_predictions(predictions, coco=False)
        samples = bootstrap_metrics(predictions, evaluation, 200)
        intervals = confidence_intervals(samples, flat_metrics(evaluation.metrics))
        low, high = intervals["attributes_gt_boxes/mean/accuracy"]
        assert low < evaluation.metrics["attributes_gt_boxes"]["mean/accuracy"] < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.3)  # one over the square root of 16


def test_the_interval_of_a_share_is_the_binomial_one():
    """Recall with one garment an image: its standard error is known."""
    predictions = make_predictions(2000, detections_per_image=3)
    one = predictions.select(np.flatnonzero(np.diff(predictions.gt_offsets) == 1))
    evaluation = evaluate_predictions(one, coco=False)
    samples = bootstrap_metrics(one, evaluation, 400)["attributes/recall"]
    share = evaluation.metrics["attributes"]["recall"] / 100
    assert samples.std() == pytest.approx(100 * math.sqrt(share * (1 - share) / one.num_images), rel=0.12)


def test_percentiles_by_hand():
    samples = {"a": np.arange(101.0), "b": np.array([math.nan, math.nan, 1.0]), "c": np.array([math.nan, 2.0, 4.0])}
    intervals = confidence_intervals(samples, {"a": 60.0, "b": 1.0, "c": 1.0}, 0.9)
    assert intervals["a"] == pytest.approx((15, 100))  # 5 to 95, moved by 10, and no more than all
    assert intervals["c"] == pytest.approx((0.1, 1.9))
    assert all(math.isnan(x) for x in intervals["b"])
    assert all(math.isnan(x) for x in confidence_intervals({"a": np.ones(3)}, {"a": math.nan})["a"])
    with pytest.raises(ValueError, match="confidence=95"):
        confidence_intervals(samples, {}, 95)


def test_no_image_at_all():
    predictions = make_predictions(0)
    samples = bootstrap_metrics(predictions, evaluate_predictions(predictions), 4)
    assert all(np.isnan(values).all() for values in samples.values())
