import math

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    precision_recall_curve,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)
from sklearn.metrics import (
    confusion_matrix as sklearn_confusion_matrix,
)

from kfashion_d2.evaluation import evaluate_attributes
from kfashion_d2.evaluation.attributes.group_metrics import detailed_metrics, top_k_accuracy
from kfashion_d2.evaluation.attributes.label_table import confusion_matrix, label_table
from kfashion_d2.evaluation.attributes.metrics import threshold_row
from kfashion_d2.evaluation.attributes.ranking import precision_at_recall, precision_recall
from kfashion_d2.evaluation.calibration.confidence import calibration_bins, expected_calibration_error
from tests.evaluation.attributes.attribute_rows import SCHEMA, make_schema, one_hot, random_rows


def known_rows(scores, targets, name):
    columns = SCHEMA.slice(name)
    rows = (targets[:, columns] >= 0).all(axis=1)
    return scores[rows, columns], targets[rows, columns].argmax(axis=1)


def test_single_label_golden():
    schema = make_schema(cut=("single", 5))
    targets = one_hot([0, 0, 0, 1, 4, -1], 5)
    scores = np.array(
        [
            [0.5, 0.2, 0.1, 0.1, 0.1],  # right
            [0.3, 0.4, 0.1, 0.1, 0.1],  # second
            [0.1, 0.2, 0.3, 0.4, 0.0],  # fourth
            [0.0, 0.9, 0.0, 0.1, 0.0],  # right
            [0.0, 0.0, 0.0, 0.0, 0.0],  # no answer
            [1.0, 0.0, 0.0, 0.0, 0.0],  # unknown
        ]
    )
    metrics, table = detailed_metrics(scores, targets, schema)
    assert metrics["cut/balanced_accuracy"] == pytest.approx(100 * (1 / 3 + 1 + 0) / 3)
    assert metrics["cut/top3"] == pytest.approx(100 * 3 / 5)
    # Four answers of confidence 0.5, 0.4, 0.4, 0.9, in bins 7, 6, 6 and 13; right, wrong, wrong, right.
    assert metrics["cut/ece"] == pytest.approx(100 * (0.5 + 0.8 + 0.1) / 4)
    assert metrics["mean/top3"] == metrics["cut/top3"] and "mean/precision_at_recall_50" not in metrics
    expected = [[1, 1, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0] * 6, [0] * 6, [0, 0, 0, 0, 0, 1]]
    assert confusion_matrix(scores, targets).tolist() == expected
    assert table.support.tolist() == [3, 1, 0, 0, 1] and table.known.tolist() == [5] * 5
    assert table.answered.tolist() == [1, 2, 0, 1, 0] and table.right.tolist() == [1, 1, 0, 0, 0]


def test_multi_label_golden():
    schema = make_schema(trim=("multi", 2))
    targets = np.array([[1, 0], [0, -1], [1, 0], [0, 0], [1, 0]], dtype=np.int8)
    scores = np.array([[0.9, 0.1], [0.8, 0.9], [0.7, 0.2], [0.6, 0.3], [0.2, 0.4]])
    metrics, table = detailed_metrics(scores, targets, schema, {"trim": [0.65, 0.35]})
    # From the best down: 1/1, 1/2, 2/3, 2/4, 3/5 of recall 1/3, 1/3, 2/3, 2/3, 1. The second label is never true.
    assert metrics["trim/precision_at_recall_50"] == pytest.approx(100 * 2 / 3)
    assert metrics["trim/precision_at_recall_80"] == pytest.approx(100 * 3 / 5)
    assert metrics["trim/mAP"] == pytest.approx(100 * (1 + 2 / 3 + 3 / 5) / 3)
    assert table.answered.tolist() == [3, 1] and table.right.tolist() == [2, 0]
    assert metrics["trim/micro_f1"] == pytest.approx(100 * 4 / 7)
    first, second = table.rows()
    assert (first["precision"], first["recall"]) == pytest.approx((200 / 3, 200 / 3))
    assert second["support"] == 0 and second["known"] == 4 and second["precision"] == 0
    assert second["recall"] is second["f1"] is second["AP"] is second["train_count"] is second["band"] is None


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed, dtype):
    scores, targets = random_rows(seed, 60, decimals=1)
    scores = scores.astype(dtype)
    metrics, table = detailed_metrics(scores, targets, SCHEMA)
    plain = evaluate_attributes(scores, targets, SCHEMA)
    assert {name: metrics[name] for name in plain} == plain
    for group in SCHEMA.groups:
        columns = SCHEMA.slice(group.name)
        if not group.is_single:
            for column in range(columns.start, columns.stop):
                known = targets[:, column] >= 0
                truth, answer = targets[known, column], scores[known, column]
                expected = average_precision_score(truth, answer.astype(np.float64))
                assert table.average_precision[column] == pytest.approx(expected)
                p, r, _ = precision_recall_curve(truth, answer)
                best = p[:-1][r[:-1] >= 0.8].max()  # the last point is scikit-learn's own
                found = precision_at_recall(scores[:, [column]], targets[:, [column]], 0.8)
                assert found.tolist() == pytest.approx([best])
                p, r, f, _ = precision_recall_fscore_support(truth, answer >= 0.5, average="binary", zero_division=0)
                found = table.precision[column], table.recall[column], table.f1[column]
                assert np.nan_to_num(found).tolist() == pytest.approx([p, r, f])
            continue
        group_scores, truth = known_rows(scores, targets, group.name)
        answer, names = group_scores.argmax(axis=1), np.arange(group.num_labels)
        assert metrics[f"{group.name}/balanced_accuracy"] == pytest.approx(100 * balanced_accuracy_score(truth, answer))
        matrix = confusion_matrix(scores[:, columns], targets[:, columns])
        np.testing.assert_array_equal(matrix[:, :-1], sklearn_confusion_matrix(truth, answer, labels=names))
        p, r, f, n = precision_recall_fscore_support(truth, answer, labels=names, zero_division=np.nan)
        np.testing.assert_allclose(table.precision[columns], p)
        np.testing.assert_allclose(table.f1[columns][n > 0], f[n > 0])
        assert table.support[columns].tolist() == n.tolist()
        assert metrics[f"{group.name}/macro_f1"] == pytest.approx(100 * table.f1[columns][n > 0].mean())


def test_top_k_agrees_with_scikit_learn_without_ties():
    rng = np.random.default_rng(0)
    scores, truth = rng.random((50, 6)), rng.integers(0, 6, 50)
    for k in range(1, 7):
        expected = top_k_accuracy_score(truth, scores, k=k, labels=range(6))
        assert top_k_accuracy(scores, one_hot(truth, 6), k) == pytest.approx(expected)
    assert math.isnan(top_k_accuracy(scores, one_hot([-1] * 50, 6), 3))


def test_the_curve_of_one_label():
    scores = np.array([0.25, 0.5, 0.5, 1, 0.75], dtype=np.float16)
    curve = precision_recall(scores, np.array([1, 1, 0, -1, 1], dtype=np.int8))
    assert curve.scores.tolist() == [0.75, 0.5, 0.25]
    assert curve.precision.tolist() == pytest.approx([1, 2 / 3, 3 / 4])
    assert curve.recall.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    nothing = precision_recall(scores, np.full(5, -1, dtype=np.int8))
    assert [len(x) for x in nothing] == [0, 0, 0]
    with pytest.raises(ValueError, match="recall=0"):
        precision_at_recall(scores[:, None], np.ones((5, 1), dtype=np.int8), 0)


def test_calibration_bins_by_hand():
    confidence, right = np.array([0.05, 0.15, 0.18, 1.0]), np.array([False, True, False, True])
    bins = calibration_bins(confidence, right, num_bins=10)
    assert bins.counts.tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert bins.confidence[[0, 1, 9]].tolist() == pytest.approx([0.05, 0.165, 1])
    assert bins.frequency[[0, 1, 9]].tolist() == pytest.approx([0, 0.5, 1])
    assert np.isnan(bins.frequency[2])
    error = expected_calibration_error(confidence, right, num_bins=10)
    assert error == pytest.approx((0.05 + 2 * 0.335 + 0) / 4)
    assert math.isnan(expected_calibration_error(confidence[:0], right[:0]))


def test_head_mid_and_tail():
    schema = make_schema(cut=("single", 3), trim=("multi", 2))
    targets = np.hstack([one_hot([0, 0, 1, 2], 3), np.array([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=np.int8)])
    scores = np.where(targets == 1, 0.9, 0.1)
    scores[0, :3] = [0.1, 0.9, 0.1]  # a 0 taken for a 1
    scores[1, 4] = 0.1  # missed
    counts = np.array([[500, 50, 5, 200, 0], [1000, 1000, 1000, 1000, 1000]])
    metrics, table = detailed_metrics(scores, targets, schema, label_counts=counts)
    assert [row["band"] for row in table.rows()] == ["head", "mid", "tail", "head", None]
    assert [row["train_count"] for row in table.rows()] == [500, 50, 5, 200, 0]
    assert metrics["cut/f1_head"] == pytest.approx(100 * 2 / 3) and metrics["cut/f1_tail"] == 100
    assert math.isnan(metrics["trim/f1_tail"])  # its second label is in no band
    assert (metrics["head/single_f1"], metrics["head/multi_f1"]) == pytest.approx((200 / 3, 100))
    assert metrics["head/f1"] == pytest.approx((200 / 3 + 100) / 2) and metrics["head/labels"] == 2
    assert "head/f1" not in detailed_metrics(scores, targets, schema)[0]


def test_thresholds_of_groups_and_labels():
    schema = make_schema(cut=("single", 2), trim=("multi", 3))
    assert threshold_row(0.3, schema).tolist() == [0.3] * 5
    assert threshold_row({"trim": [0.1, 0.2, 0.3], "other": [1]}, schema).tolist() == [0.5, 0.5, 0.1, 0.2, 0.3]
    with pytest.raises(ValueError, match="2 thresholds for group 'trim', which has 3 labels"):
        threshold_row({"trim": [0.1, 0.2]}, schema)
    # 0.9 as float16 is a little less, and reaches 0.9 all the same.
    scores, targets = np.full((1, 5), 0.9, dtype=np.float16), np.ones((1, 5), dtype=np.int8)
    targets[:, 0] = 0
    assert evaluate_attributes(scores, targets, schema, 0.9)["trim/micro_f1"] == 100
    assert label_table(scores, targets, schema, 0.9).answered[2:].tolist() == [1, 1, 1]


def test_nothing_known():
    scores, targets = random_rows(0, 4)
    metrics, table = detailed_metrics(scores, np.full_like(targets, -1), SCHEMA, label_counts=np.zeros((2, 15), int))
    supports = {name for name in metrics if name.endswith(("/support", "/labels"))}
    assert all(metrics[name] == 0 for name in supports)
    assert all(math.isnan(value) for name, value in metrics.items() if name not in supports)
    assert not table.answered.any()
    assert all(type(value) is float for value in metrics.values())
