import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, log_loss

from kfashion_d2.evaluation import Calibration, evaluate_attributes, fit_calibration
from kfashion_d2.evaluation.calibration.confidence import expected_calibration_error
from kfashion_d2.evaluation.calibration.core import fit_f1_threshold, fit_temperature, fit_unsure_threshold
from kfashion_d2.evaluation.calibration.reliability import calibration_report, calibration_table, held_out_report
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema().subset(["fit", "material", "collar"])
FIT, MATERIAL, COLLAR = (SCHEMA.slice(name) for name in SCHEMA.group_names)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make_rows(n=600, seed=0, temperatures=(2.0, 0.5, 1.0)):
    """Labels drawn from the model's own scores at a temperature: what the fit must find again."""
    rng = np.random.default_rng(seed)
    scores = np.zeros((n, SCHEMA.num_labels), dtype=np.float32)
    targets = np.full((n, SCHEMA.num_labels), -1, dtype=np.int8)
    for group, temperature in zip(SCHEMA.groups, temperatures, strict=True):
        columns = SCHEMA.slice(group.name)
        logits = rng.normal(scale=3, size=(n, group.num_labels))
        if group.is_single:
            scores[:, columns] = softmax(logits)
            truth = [rng.choice(group.num_labels, p=p) for p in softmax(logits / temperature)]
            targets[:, columns] = np.eye(group.num_labels, dtype=np.int8)[truth]
        else:
            logits -= 2
            scores[:, columns] = sigmoid(logits)
            targets[:, columns] = rng.random(logits.shape) < sigmoid(logits / temperature)
    targets[rng.random(n) < 0.2, FIT] = -1
    targets[:, MATERIAL][rng.random((n, 25)) < 0.3] = -1
    return scores, targets


def test_the_temperature_that_made_the_labels_is_found():
    scores, targets = make_rows(n=4000)
    found = fit_calibration(scores, targets, SCHEMA)
    assert found.temperatures["fit"] == pytest.approx(2.0, rel=0.07)
    assert found.temperatures["material"] == pytest.approx(0.5, rel=0.07)
    assert found.temperatures["collar"] == pytest.approx(1.0, rel=0.07)


def test_the_temperature_is_that_of_a_search_and_the_loss_that_of_scikit_learn():
    scores, targets = make_rows()
    found = fit_calibration(scores, targets, SCHEMA)
    report = calibration_report(scores, targets, found)
    grid = np.exp(np.linspace(np.log(0.1), np.log(10), 801))
    known = targets[:, FIT.start] != -1
    logits, truth = np.log(scores[known, FIT].astype(float)), targets[known, FIT].argmax(axis=1)
    losses = [log_loss(truth, softmax(logits / t), labels=range(7)) for t in grid]
    assert found.temperatures["fit"] == pytest.approx(grid[np.argmin(losses)], rel=0.006)
    assert report["fit"]["nll_after"] == pytest.approx(min(losses), abs=1e-4)
    entries = targets[:, MATERIAL] != -1
    p, y = scores[:, MATERIAL][entries].astype(float), targets[:, MATERIAL][entries]
    losses = [log_loss(y, sigmoid(np.log(p / (1 - p)) / t)) for t in grid]
    assert found.temperatures["material"] == pytest.approx(grid[np.argmin(losses)], rel=0.006)
    assert report["material"]["nll_before"] == pytest.approx(log_loss(y, p), abs=1e-5)
    assert report["material"]["nll_after"] == pytest.approx(min(losses), abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_fit_never_hurts(data):
    """Whatever the scores, exact zeros and ones among them, and whatever is unknown."""
    n = data.draw(st.integers(1, 30))
    value = st.sampled_from([0.0, 1e-30, 0.01, 0.2, 0.5, 0.9, 1 - 2**-24, 1.0]) | st.floats(0, 1, width=32)
    scores = data.draw(arrays(np.float32, (n, SCHEMA.num_labels), elements=value))
    targets = data.draw(arrays(np.int8, (n, SCHEMA.num_labels), elements=st.integers(-1, 1)))
    for columns in (FIT, COLLAR):
        truth = data.draw(arrays(np.int64, n, elements=st.integers(-1, columns.stop - columns.start - 1)))
        targets[:, columns] = np.where(
            truth[:, None] < 0, -1, np.arange(columns.stop - columns.start) == truth[:, None]
        )
        sums = scores[:, columns].sum(axis=1, keepdims=True)
        scores[:, columns] = np.divide(scores[:, columns], sums, where=sums > 0, out=np.zeros_like(scores[:, columns]))
    found = fit_calibration(scores, targets, SCHEMA, min_support=1)
    report = calibration_report(scores.astype(np.float64), targets, found)
    for name, group in report.items():
        if not math.isnan(group["nll_before"]):
            assert group["nll_after"] <= group["nll_before"] * (1 + 1e-6) + 1e-9, name
    # A temperature changes no order, so no F1 is lost that a threshold could have had.
    f1_before, f1_after = report["material"]["f1_before"], report["material"]["f1_after"]
    assert math.isnan(f1_before) or f1_after >= f1_before - 1e-9
    after = found.apply(scores)
    assert np.isfinite(after).all() and (after >= 0).all() and (after <= 1 + 1e-6).all()
    assert ((after > 0) <= (scores > 0)).all()


def candidates(scores):
    values = np.unique(np.append(scores[scores > 0], 0.0))
    return (values[1:] + values[:-1]) / 2


@pytest.mark.parametrize("f1", ["micro", "macro"])
@pytest.mark.parametrize("digits", [1, 2, 8])  # with few, many scores are equal
def test_f1_thresholds_are_those_of_a_search(f1, digits):
    rng = np.random.default_rng(digits)
    scores = np.round(rng.random((40, 5)), digits)
    targets = (rng.random((40, 5)) < 0.4 * scores).astype(np.int8)
    targets[:, 4] = 0  # a label that is nowhere true
    targets[rng.random((40, 5)) < 0.2] = -1
    known = targets != -1

    def quality(threshold):
        answer = (scores >= threshold) & known
        if f1 == "micro":
            return f1_score(targets[known] == 1, answer[known])
        return np.mean([f1_score(targets[known[:, k], k] == 1, answer[known[:, k], k]) for k in range(4)])

    found = [quality(t) for t in candidates(scores[known])]
    best = candidates(scores[known])[np.flatnonzero(np.array(found) >= max(found) - 1e-12)[-1]]
    assert fit_f1_threshold(scores, targets, f1) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("target", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("digits", [1, 2, 8])
def test_unsure_thresholds_are_those_of_a_search(target, digits):
    rng = np.random.default_rng(digits)
    scores = np.round(softmax(rng.normal(scale=2, size=(60, 4))), digits)
    truth = [rng.choice(4, p=p / p.sum()) for p in scores + 0.1]
    targets = np.eye(4, dtype=np.int8)[truth]
    best, right = scores.max(axis=1), scores.argmax(axis=1) == truth
    choices = np.append(np.where(candidates(best) < best.min(), 0, candidates(best)), (best.max() + 1) / 2)
    worth = np.array([(right[best >= t] - target).sum() for t in choices])
    expected = choices[np.flatnonzero(worth >= worth.max() - 1e-9)[0]]
    assert fit_unsure_threshold(scores, targets, target) == pytest.approx(expected, abs=1e-12)


def test_unsure_thresholds_by_hand():
    eye = np.eye(2, dtype=np.int8)
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.0, 0.0]])
    right_right_wrong_wrong = eye[[0, 0, 1, 1, 0]]
    assert fit_unsure_threshold(scores, right_right_wrong_wrong, 0.5) == pytest.approx(0.75)
    assert fit_unsure_threshold(scores, right_right_wrong_wrong, 0.0) == 0.0
    assert fit_unsure_threshold(scores, eye[[0, 0, 0, 1, 0]], 0.4) == pytest.approx(
        0.65
    )  # the last, at -0.4, is not worth it
    assert fit_unsure_threshold(scores, eye[[1, 1, 1, 1, 0]], 0.5) == pytest.approx(0.95)  # never worth it
    assert fit_unsure_threshold(scores, eye[[1, 0, 1, 0, 0]], 0.5) == 0.0  # all are worth 0: of equals the least


def test_groups_that_teach_nothing_keep_the_defaults():
    scores, targets = make_rows()
    targets[:, FIT] = -1
    targets[:, COLLAR] = np.eye(10, dtype=np.int8)[3]
    targets[:, MATERIAL] = np.where(targets[:, MATERIAL] == 1, 0, targets[:, MATERIAL])
    found = fit_calibration(scores, targets, SCHEMA)
    assert found.temperatures == {"fit": 1.0, "material": 1.0, "collar": 1.0}
    assert found.thresholds == {"fit": 0.0, "material": 0.5, "collar": 0.0}
    assert found.settings["support"]["fit"] == 0
    few = fit_calibration(*(rows[:9] for rows in make_rows()), SCHEMA)
    assert few.temperatures == found.temperatures
    nothing = fit_calibration(scores[:0], targets[:0], SCHEMA)
    assert nothing.thresholds == found.thresholds


def test_apply():
    calibration = Calibration(
        SCHEMA, {"fit": 2.0, "material": 0.5, "collar": 1.0}, {"fit": 0.3, "material": 0.4, "collar": 0.0}
    )
    scores, _ = make_rows(n=50)
    scores[:10, FIT] = 0  # does not apply
    scores[10:20, MATERIAL] = 0
    scores[20, FIT] *= 0.25  # a head whose row need not add up to 1
    after = calibration.apply(scores)
    assert after.dtype == np.float32 and isinstance(after, np.ndarray)
    x = scores.astype(np.float64)
    roots = np.sqrt(x[21:, FIT])
    np.testing.assert_allclose(after[21:, FIT], roots / roots.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(after[20, FIT].sum(), 0.25, rtol=1e-5)
    p = x[20:, MATERIAL]
    np.testing.assert_allclose(after[20:, MATERIAL], p**2 / (p**2 + (1 - p) ** 2), rtol=1e-5, atol=1e-7)
    assert (after[:10, FIT] == 0).all() and (after[10:20, MATERIAL] == 0).all()
    assert np.array_equal(after[:, COLLAR], scores[:, COLLAR])
    tensor = calibration.apply(torch.from_numpy(scores))
    assert isinstance(tensor, torch.Tensor) and np.array_equal(tensor.numpy(), after)
    half = calibration.apply(torch.from_numpy(scores).half())
    assert half.dtype == torch.float16 and torch.isfinite(half).all()
    assert calibration.apply(scores[:0]).shape == (0, SCHEMA.num_labels)
    with pytest.raises(ValueError, match=r"\(50, 3\) must be \(N, 42\)"):
        calibration.apply(scores[:, :3])


def test_plain_values_there_and_back(tmp_path):
    found = fit_calibration(*make_rows(), SCHEMA, settings={"dataset": "kfashion_val"})
    data = found.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    torch.save(data, tmp_path / "plain.pth")
    again = Calibration.from_dict(torch.load(tmp_path / "plain.pth", weights_only=True), SCHEMA)
    assert again.to_dict() == data
    assert again.settings["dataset"] == "kfashion_val" and again.settings["f1"] == "micro"


def test_what_does_not_fit_is_refused():
    data = Calibration.default(SCHEMA).to_dict()
    other = kfashion_schema().subset(["fit"])
    with pytest.raises(ValueError, match=f"{SCHEMA.hash}.*{other.hash}.*tools/calibrate.py"):
        Calibration.from_dict(data, other)
    with pytest.raises(ValueError, match="format 99"):
        Calibration.from_dict({**data, "format": 99}, SCHEMA)
    with pytest.raises(ValueError, match="temperatures are of the groups fit"):
        Calibration.from_dict({**data, "temperatures": {"fit": 1.0}}, SCHEMA)
    for wrong in (
        {"temperatures": dict.fromkeys(SCHEMA.group_names, 0.0)},
        {"thresholds": {**data["thresholds"], "fit": 2.0}},
    ):
        with pytest.raises(ValueError, match="group 'fit' has"):
            Calibration.from_dict({**data, **wrong}, SCHEMA)
    scores, targets = make_rows(n=20)
    with pytest.raises(ValueError, match="f1='best'"):
        fit_calibration(scores, targets, SCHEMA, f1="best")
    with pytest.raises(ValueError, match="target_precision=1"):
        fit_calibration(scores, targets, SCHEMA, target_precision=1)
    with pytest.raises(ValueError, match="must both be"):
        fit_calibration(scores, targets[:5], SCHEMA)


def test_expected_calibration_error_by_hand():
    # Bins of 0.5: two at 0.25 and 0.35 of which one is right, one at 0.75 that is wrong.
    error = expected_calibration_error(np.array([0.25, 0.35, 0.75]), np.array([True, False, False]), num_bins=2)
    assert error == pytest.approx((abs(0.6 - 1) + 0.75) / 3)
    assert expected_calibration_error(np.ones(4), np.ones(4, dtype=bool)) == 0
    assert math.isnan(expected_calibration_error(np.zeros(0), np.zeros(0, dtype=bool)))


def test_the_report_agrees_with_the_evaluator():
    scores, targets = make_rows()
    for f1 in ("micro", "macro"):
        found = fit_calibration(scores, targets, SCHEMA, f1=f1)
        report = calibration_report(scores, targets, found)
        before = evaluate_attributes(scores, targets, SCHEMA)
        after = evaluate_attributes(found.apply(scores), targets, SCHEMA, found.thresholds)
        assert report["fit"]["accuracy"] == pytest.approx(before["fit/accuracy"])
        assert after["fit/accuracy"] == before["fit/accuracy"]  # a temperature changes no order
        assert report["material"]["f1_before"] == pytest.approx(before[f"material/{f1}_f1"])
        assert report["material"]["f1_after"] == pytest.approx(after[f"material/{f1}_f1"])
        assert report["material"]["f1_after"] > report["material"]["f1_before"]
    # Scores that were too sure of themselves are so no more, and what is answered is right more often.
    assert report["fit"]["ece_after"] < 0.5 * report["fit"]["ece_before"]
    assert report["fit"]["answered"] < 100 and report["fit"]["answered_accuracy"] > report["fit"]["accuracy"]
    table = calibration_table(report, SCHEMA)
    assert "single-label group" in table and f"{report['fit']['ece_before']:.1f}" in table


def test_held_out_rows_have_not_been_seen():
    scores, targets = make_rows()
    folds = np.arange(len(scores)) % 2
    held_out = held_out_report(scores, targets, folds, SCHEMA, target_precision=0.6)
    halves = [fit_calibration(scores[folds == f], targets[folds == f], SCHEMA, target_precision=0.6) for f in (0, 1)]
    after = np.where(folds[:, None] == 0, halves[1].apply(scores), halves[0].apply(scores))
    known = targets[:, FIT.start] != -1
    true_score = after[known, FIT][targets[known, FIT] == 1]
    assert held_out["fit"]["nll_after"] == pytest.approx(-np.log(true_score).mean(), rel=1e-5)
    least = np.where(folds == 0, halves[1].thresholds["fit"], halves[0].thresholds["fit"])[known]
    assert held_out["fit"]["answered"] == pytest.approx(100 * (after[known, FIT].max(axis=1) >= least).mean())
    assert (
        held_out["fit"]["nll_after"]
        >= calibration_report(scores, targets, fit_calibration(scores, targets, SCHEMA))["fit"]["nll_after"]
    )


def test_perfect_scores_stay_within_bounds():
    targets = np.eye(3, dtype=np.int8)[np.arange(30) % 3]
    assert fit_temperature(np.where(targets == 1, 0.8, 0.1), targets, True) == pytest.approx(0.1, rel=1e-6)
    assert fit_temperature(np.where(targets == 1, 0.1, 0.45), targets, True) == pytest.approx(10, rel=1e-6)
