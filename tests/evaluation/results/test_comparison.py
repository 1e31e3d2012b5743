import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation import (
    bootstrap_metrics,
    compare_runs,
    comparison_table,
    evaluate_predictions,
    load_run,
    write_metrics,
    write_predictions,
)
from kfashion_d2.evaluation.results.comparison import INTERVALS, PAIRED, independent_difference, name_runs
from kfashion_d2.evaluation.results.metrics_file import flat_metrics
from tests.evaluation.results.evaluated_run import ACCURACY, make_run


@pytest.fixture(scope="module")
def good():
    return make_predictions(60, detections_per_image=4, seed=3)


@pytest.fixture(scope="module")
def worse(good):
    """The same, with the scores of one garment in ten turned round."""
    scores = good.gt_attributes.copy()
    scores[::10] = scores[::10, ::-1] * (scores[::10] > 0)
    return replace(good, gt_attributes=scores)


def test_independent_by_hand():
    # 40 in 38 to 43, 45 in 44 to 47: below is hypot(1, 3), above hypot(2, 2).
    found = independent_difference(40, (38, 43), 45, (44, 47))
    assert (found.value, found.low, found.high) == pytest.approx((5, 5 - math.sqrt(10), 5 + math.sqrt(8)))
    assert found.exceeds is True
    assert independent_difference(40, (35, 45), 45, (40, 50)).exceeds is False
    alone = independent_difference(40, None, 45, (40, 50))
    assert alone.value == 5 and alone.exceeds is None
    assert independent_difference(40, (35, None), 45, (40, 50)).exceeds is None
    assert math.isnan(independent_difference(math.nan, (1, 2), 45, (40, 50)).value)


def test_paired_is_the_bootstrap_of_the_difference(good, worse):
    comparison = compare_runs([make_run("a", good), make_run("b", worse)], replicates=50, seed=1)
    assert comparison.methods == [PAIRED] and comparison.notes == []
    found = comparison.differences[0][ACCURACY]
    values, samples = [], []
    for predictions in (good, worse):
        evaluation = evaluate_predictions(predictions, coco=False)
        values.append(flat_metrics(evaluation.metrics)[ACCURACY])
        samples.append(bootstrap_metrics(predictions, evaluation, 50, 1)[ACCURACY])
    assert found.value == pytest.approx(values[1] - values[0]) and found.value < -3
    differences = samples[1] - samples[0]
    low, middle, high = np.percentile(differences, [2.5, 50, 97.5])
    assert (found.low, found.high) == pytest.approx((found.value + low - middle, found.value + high - middle))
    assert found.exceeds is True
    # What the two share does not differ, to the bit.
    same = comparison.differences[0]["attributes/recall"]
    assert (same.value, same.low, same.high, same.exceeds) == (0, 0, 0, False)
    assert "attributes/collar/support" not in comparison.differences[0]


def test_the_files_intervals_where_predictions_are_missing(good, worse):
    runs = [make_run("a", good, 60), make_run("b", worse, 60, keep=False)]
    comparison = compare_runs(runs, replicates=60)
    assert comparison.methods == [INTERVALS]
    found = comparison.differences[0][ACCURACY]
    ends = [run.document["intervals"][ACCURACY] for run in runs]
    values = comparison.values[ACCURACY]
    assert found == independent_difference(values[0], ends[0], values[1], ends[1])
    paired = compare_runs([runs[0], make_run("b", worse)], replicates=60).differences[0][ACCURACY]
    assert paired.high - paired.low < found.high - found.low
    without = compare_runs([make_run("a", good, keep=False), make_run("b", worse, keep=False)])
    assert without.methods == [""] and without.differences[0][ACCURACY].exceeds is None
    assert "no intervals" in comparison_table(without)


def test_only_common_images_are_paired(good, worse):
    part = worse.select(np.arange(59, 9, -1))  # in another order, too
    comparison = compare_runs([make_run("a", good), make_run("b", part)], replicates=20)
    assert comparison.methods == [PAIRED] and "50 images in both" in comparison.notes[0]
    rows = np.arange(10, 60)
    values = [evaluate_predictions(p.select(rows), coco=False).metrics for p in (good, worse)]
    expected = values[1]["attributes_gt_boxes"]["mean/accuracy"] - values[0]["attributes_gt_boxes"]["mean/accuracy"]
    assert comparison.differences[0][ACCURACY].value == pytest.approx(expected)


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda p: replace(p, image_ids=p.image_ids + 1000), "no image in common"),
        (lambda p: replace(p, gt_boxes=p.gt_boxes + 1), "different ground truth"),
        (lambda p: make_predictions(60, detections_per_image=4, classes="part"), "vocabularies or classes"),
    ],
)
def test_what_cannot_be_paired_says_why(good, change, why):
    comparison = compare_runs([make_run("a", good, 20), make_run("b", change(good), 20)], replicates=20)
    assert comparison.methods == [INTERVALS] and why in " ".join(comparison.notes)


def test_table_and_names(good, worse):
    runs = [make_run("r50", good), make_run("r50", worse), make_run("r50", good)]
    name_runs(runs)
    assert [run.name for run in runs] == ["r50", "r50 (2)", "r50 (3)"]
    text = comparison_table(compare_runs(runs, replicates=20))
    lines = {line[:40].strip(): line for line in text.splitlines()}
    assert "r50 (3) - r50" in text and text.count(PAIRED) == 2
    row = lines["accuracy (ground-truth boxes)"]
    assert row.count("*") == 1 and "+0.0 (+0.0 to +0.0)" in row
    assert not any(line.startswith("collar") for line in lines)
    assert "collar, accuracy" in comparison_table(compare_runs(runs[:2], replicates=0), groups=True)


def test_runs_are_read_from_each_kind_of_file(good, tmp_path):
    folder = tmp_path / "r50"
    folder.mkdir()
    run = make_run("r50", good)
    write_metrics(run.document, folder / "metrics.json")
    assert load_run(folder).predictions is None
    write_predictions(good, folder / "predictions.parquet")
    read = [load_run(path) for path in (folder, folder / "metrics.json", folder / "predictions.parquet")]
    for found in read:
        assert found.name == "r50" and found.predictions.num_images == 60
        assert found.document["metrics"][ACCURACY] == run.document["metrics"][ACCURACY]
    with pytest.raises(FileNotFoundError, match="evaluate"):
        load_run(tmp_path / "nothing")
    with pytest.raises(ValueError, match="1 run"):
        compare_runs(read[:1])
    with pytest.raises(ValueError, match="confidence=1"):
        compare_runs(read, confidence=1)
