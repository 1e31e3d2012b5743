import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from kfashion_d2.evaluation import evaluate_attributes
from kfashion_d2.evaluation.attributes.metrics import attribute_table
from kfashion_d2.evaluation.attributes.ranking import average_precision
from tests.evaluation.attributes.attribute_rows import SCHEMA, make_schema, one_hot, random_rows


def same(a, b):
    return a == pytest.approx(b, rel=0, abs=0, nan_ok=True)


def test_golden_single_label():
    schema = make_schema(cut=("single", 3))
    targets = one_hot([0, 0, 1, 0, -1, 2], 3)
    scores = np.array([[0.6, 0.3, 0.1], [0.3, 0.4, 0.3], [0, 1, 0], [0.5, 0.2, 0.3], [0, 0, 1], [0, 0, 0]])
    metrics = evaluate_attributes(scores, targets, schema)
    # Right: rows 0, 2, 3 of five known. F1: label 0 2*2/(3+2), label 1 2*1/(1+2), label 2 0 (its row has no answer).
    assert metrics == pytest.approx(
        {
            "cut/accuracy": 60,
            "cut/macro_f1": 100 * (4 / 5 + 2 / 3 + 0) / 3,
            "cut/majority": 60,
            "cut/support": 5,
            "mean/accuracy": 60,
            "mean/majority": 60,
            "mean/gain": 0,
            "mean/macro_f1": 100 * (4 / 5 + 2 / 3) / 3,
        }
    )
    assert all(type(value) is float for value in metrics.values())


def test_a_group_that_does_not_apply_is_wrong_even_where_label_0_is_true():
    schema = make_schema(cut=("single", 3))
    metrics = evaluate_attributes(np.zeros((2, 3)), one_hot([0, 0], 3), schema)
    assert (metrics["cut/accuracy"], metrics["cut/macro_f1"], metrics["cut/majority"]) == (0, 0, 100)


def test_golden_multi_label():
    schema = make_schema(trim=("multi", 2))
    scores = np.array([[0.9, 0.2], [0.8, 0.5], [0.4, 0.7], [0.9, 0.9], [0.1, 0.45], [0.6, 0.6]])
    targets = np.array([[1, 0], [0, 1], [1, 0], [-1, -1], [0, 0], [0, 0]], dtype=np.int8)
    metrics = evaluate_attributes(scores, targets, schema)
    # Label 0, by score: + - - + -, so AP (1/1 + 2/4) / 2; answered rows 0, 1, 5, one of them right, two true.
    # Label 1: - - + - -, so AP 1/3; answered rows 1 (its score is the threshold), 2, 5, one right, one true.
    # Majority: label 0 on all five known rows, right twice, of three true entries.
    assert metrics == pytest.approx(
        {
            "trim/mAP": 100 * (3 / 4 + 1 / 3) / 2,
            "trim/micro_f1": 100 * 4 / (3 + 6),
            "trim/macro_f1": 100 * (2 / 5 + 2 / 4) / 2,
            "trim/majority": 100 * 4 / (3 + 5),
            "trim/support": 5,
            "mean/mAP": 100 * (3 / 4 + 1 / 3) / 2,
            "mean/micro_f1": 100 * 4 / 9,
        }
    )


def test_threshold_of_each_group():
    schema = make_schema(a=("multi", 1), b=("multi", 1))
    scores, targets = np.array([[0.4, 0.4]]), np.array([[1, 1]], dtype=np.int8)
    metrics = evaluate_attributes(scores, targets, schema, threshold={"a": 0.3})
    assert (metrics["a/micro_f1"], metrics["b/micro_f1"]) == (100, 0)
    metrics = evaluate_attributes(scores, targets, schema, threshold=0.3)
    assert (metrics["a/micro_f1"], metrics["b/micro_f1"]) == (100, 100)


def test_means_leave_out_groups_without_support():
    schema = make_schema(a=("single", 2), b=("single", 2), c=("single", 2), m=("multi", 1), n=("multi", 1))
    targets = np.hstack([one_hot([0, 0, 1, 0], 2), one_hot([1, -1, -1, 0], 2), one_hot([-1] * 4, 2)])
    targets = np.hstack([targets, np.array([[1, -1], [0, -1], [1, -1], [0, -1]], dtype=np.int8)])
    scores = np.tile([0.9, 0.1, 0.2, 0.8, 0.5, 0.5, 0.7, 0.7], (4, 1))
    metrics = evaluate_attributes(scores, targets, schema)
    assert metrics["a/accuracy"] == metrics["a/majority"] == 75
    assert metrics["b/accuracy"] == metrics["b/majority"] == 50
    assert metrics["c/support"] == metrics["n/support"] == 0
    assert all(math.isnan(metrics[f"c/{name}"]) for name in ("accuracy", "macro_f1", "majority"))
    assert all(math.isnan(metrics[f"n/{name}"]) for name in ("mAP", "micro_f1", "macro_f1", "majority"))
    assert metrics["mean/accuracy"] == metrics["mean/majority"] == 62.5
    # All scores of `m` tie, so its AP is the share of what is true.
    assert metrics["mean/mAP"] == 50 and metrics["mean/micro_f1"] == pytest.approx(100 * 4 / 6)


def test_nothing_to_measure():
    metrics = evaluate_attributes(np.zeros((0, 15)), np.zeros((0, 15), dtype=np.int8), SCHEMA)
    supports = {name: value for name, value in metrics.items() if name.endswith("support")}
    assert set(supports.values()) == {0.0} and len(supports) == 4
    assert all(math.isnan(value) for name, value in metrics.items() if name not in supports)


def test_known_to_have_none():
    schema = make_schema(trim=("multi", 2))
    targets = np.zeros((3, 2), dtype=np.int8)
    silent = evaluate_attributes(np.full((3, 2), 0.1), targets, schema)
    assert silent["trim/support"] == 3
    assert math.isnan(silent["trim/mAP"]) and math.isnan(silent["trim/micro_f1"])
    assert evaluate_attributes(np.full((3, 2), 0.9), targets, schema)["trim/micro_f1"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed):
    scores, targets = random_rows(seed, 80)
    scores[::9, SCHEMA.slice("fit")] = 0
    metrics = evaluate_attributes(scores, targets, SCHEMA)
    for group in SCHEMA.groups:
        columns = SCHEMA.slice(group.name)
        s, t = scores[:, columns], targets[:, columns]
        if group.is_single:
            truth, answer = [], []
            for s_row, t_row in zip(s, t, strict=True):
                if -1 not in t_row:
                    truth.append(list(t_row).index(1))
                    answer.append(int(np.argmax(s_row)) if s_row.max() > 0 else -1)
            labels = sorted(set(truth))
            assert metrics[f"{group.name}/accuracy"] == pytest.approx(100 * accuracy_score(truth, answer))
            assert metrics[f"{group.name}/macro_f1"] == pytest.approx(
                100 * f1_score(truth, answer, labels=labels, average="macro", zero_division=0)
            )
            commonest = max(labels, key=truth.count)
            baseline = accuracy_score(truth, [commonest] * len(truth))
            assert metrics[f"{group.name}/majority"] == pytest.approx(100 * baseline)
            assert metrics[f"{group.name}/support"] == len(truth)
        else:
            precisions, f1s, all_truth, all_answers = [], [], [], []
            for label in range(group.num_labels):
                rows = [i for i in range(len(t)) if t[i, label] != -1]
                truth = [int(t[i, label]) for i in rows]
                answer = [int(s[i, label] >= 0.5) for i in rows]
                precisions.append(average_precision_score(truth, [s[i, label] for i in rows]))
                f1s.append(f1_score(truth, answer))
                all_truth += truth
                all_answers += answer
            assert metrics[f"{group.name}/mAP"] == pytest.approx(100 * np.mean(precisions))
            assert metrics[f"{group.name}/macro_f1"] == pytest.approx(100 * np.mean(f1s))
            assert metrics[f"{group.name}/micro_f1"] == pytest.approx(100 * f1_score(all_truth, all_answers))
            commonest = max(range(group.num_labels), key=lambda label: sum(row[label] == 1 for row in t))
            baseline = [int(label == commonest) for label in range(group.num_labels) for row in t if row[label] != -1]
            assert metrics[f"{group.name}/majority"] == pytest.approx(100 * f1_score(all_truth, baseline))
            assert metrics[f"{group.name}/support"] == sum(any(row != -1) for row in t)


def test_average_precision_of_labels_without_positives_and_with_nothing_else():
    scores = np.array([[0.1, 0.9, 0.3], [0.2, 0.8, 0.3]])
    result = average_precision(scores, np.array([[0, 1, 1], [-1, 1, 0]], dtype=np.int8))
    assert math.isnan(result[0])
    assert result[1:].tolist() == [1.0, 0.5]
    assert np.isnan(average_precision(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.int8))).all()


def test_average_precision_takes_scores_of_minus_infinity():
    """Known rows at the very bottom tie with each other, not with the unknown ones between them."""
    scores = np.array([[-np.inf], [0.7], [-np.inf], [0.5]])
    targets = np.array([[1], [-1], [0], [0]], dtype=np.int8)
    assert average_precision(scores, targets).tolist() == [pytest.approx(1 / 3)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_rows=st.integers(1, 25))
def test_order_of_rows_does_not_matter(seed, num_rows):
    scores, targets = random_rows(seed, num_rows)
    order = np.random.default_rng(seed).permutation(num_rows)
    shuffled = evaluate_attributes(scores[order], targets[order], SCHEMA)
    # Tied scores are summed in another order.
    assert shuffled == pytest.approx(evaluate_attributes(scores, targets, SCHEMA), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_rows=st.integers(1, 25),
    value=st.one_of(st.floats(0, 1), st.just(np.nan), st.just(np.inf)),
)
def test_scores_of_unknown_entries_change_nothing(seed, num_rows, value):
    scores, targets = random_rows(seed, num_rows)
    other = np.where(targets == -1, np.float32(value), scores)
    assert same(evaluate_attributes(other, targets, SCHEMA), evaluate_attributes(scores, targets, SCHEMA))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_rows=st.integers(1, 25))
def test_rows_with_nothing_known_change_nothing(seed, num_rows):
    scores, targets = random_rows(seed, num_rows)
    more_scores, _ = random_rows(seed + 1, 7)
    longer = np.vstack([targets, np.full(more_scores.shape, -1, dtype=np.int8)])
    assert same(
        evaluate_attributes(np.vstack([scores, more_scores]), longer, SCHEMA),
        evaluate_attributes(scores, targets, SCHEMA),
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_rows=st.integers(1, 25))
def test_the_truth_scores_100(seed, num_rows):
    _, targets = random_rows(seed, num_rows)
    metrics = evaluate_attributes((targets == 1).astype(np.float32), targets, SCHEMA)
    for name, value in metrics.items():
        if name.split("/")[1] in ("accuracy", "macro_f1", "mAP", "micro_f1"):
            assert value == 100 or math.isnan(value)
        elif name.split("/")[1] == "majority":
            assert 0 <= value <= 100 or math.isnan(value)


def test_nan_scores_count_as_no_answer():
    schema = make_schema(cut=("single", 2), trim=("multi", 1))
    scores = np.array([[np.nan, np.nan, np.nan], [0.1, 0.9, 0.9]])
    metrics = evaluate_attributes(scores, np.array([[1, 0, 1], [0, 1, 0]], dtype=np.int8), schema)
    assert (metrics["cut/accuracy"], metrics["trim/micro_f1"], metrics["trim/mAP"]) == (50, 0, 50)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\).*15"):
        evaluate_attributes(np.zeros((2, 3)), np.zeros((2, 4)), SCHEMA)
    schema = make_schema(cut=("single", 2))
    for bad in ([0, 0], [1, 1]):
        with pytest.raises(ValueError, match="row 2 of single-label group 'cut'"):
            evaluate_attributes(np.ones((3, 2)), np.array([[1, 0], [-1, -1], bad], dtype=np.int8), schema)


def table_rows(table):
    return {line.split("  ")[0].strip(): " ".join(line.split()) for line in table.splitlines()}


def test_table_shows_both_tasks_beside_each_other():
    schema = make_schema(cut=("single", 2), fit=("single", 2), trim=("multi", 1))
    targets = np.hstack([one_hot([0, 0, 0, 1], 2), one_hot([-1] * 4, 2), one_hot([0] * 4, 1)])
    right = (targets == 1).astype(float)
    wrong = np.array([[0.0, 1.0, 0.0, 0.0, 0.1]] * 4)
    results = {
        "attributes": evaluate_attributes(wrong, targets, schema),
        "attributes_gt_boxes": evaluate_attributes(right, targets, schema),
    }
    table = attribute_table(results, schema)
    rows = table_rows(table)
    # accuracy, majority, gain, macro-F1, support; wrong answers label 1 four times, of which one is right.
    assert rows["cut"] == "cut 25.0 75.0 -50.0 20.0 4 100.0 75.0 25.0 100.0 4"
    assert rows["fit"] == "fit - - - - 0 - - - - 0"
    assert rows["trim"] == "trim 100.0 0.0 100.0 0.0 4 100.0 100.0 100.0 100.0 4"
    means = [" ".join(line.split()) for line in table.splitlines() if line.startswith("mean")]
    assert means[0] == "mean 25.0 75.0 -50.0 20.0 - 100.0 75.0 25.0 100.0 -"
    assert means[1] == "mean 100.0 0.0 - - - 100.0 100.0 - - -"
    assert table.count("GT boxes") == 10

    alone = attribute_table({"attributes": results["attributes"]}, schema, language="ko")
    assert "GT boxes" not in alone and "한cut" in alone


def test_table_of_one_kind_has_no_empty_table():
    schema = make_schema(trim=("multi", 1))
    metrics = evaluate_attributes(np.ones((1, 1)), np.ones((1, 1), dtype=np.int8), schema)
    assert "single" not in attribute_table({"attributes": metrics}, schema)
