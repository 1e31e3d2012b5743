import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

from kfashion_d2.evaluation import evaluate_styles
from kfashion_d2.evaluation.attributes.styles import style_table
from kfashion_d2.schema import kfashion_schema

NAMES = ["retro", "romantic", "resort", "mannish", "modern"]


def rows(*rankings):
    """Scores in which the styles of each ranking come first, in its order."""
    scores = np.zeros((len(rankings), len(NAMES)))
    for row, ranking in zip(scores, rankings, strict=True):
        row[list(ranking)] = 0.9 - 0.1 * np.arange(len(ranking))
    return scores


def test_by_hand():
    scores = rows([0, 1, 2], [0, 1, 2], [1, 0, 2], [3, 4, 2], [2, 0, 1], [4, 3, 2])
    found = evaluate_styles(scores, [0, 1, 1, 2, 3, -1], NAMES)
    # Best: 0, 0, 1, 3, 2 against 0, 1, 1, 2, 3; of the fourth the third is right, of the fifth none of three.
    assert found == {
        "top1": 40,
        "top3": 80,
        "macro_f1": pytest.approx(100 * (2 / 3 + 2 / 3 + 0 + 0) / 4),
        "majority": 40,
        "support": 5,
        "F1-retro": pytest.approx(200 / 3),
        "F1-romantic": pytest.approx(200 / 3),
        "F1-resort": 0,
        "F1-mannish": 0,
        "F1-modern": pytest.approx(math.nan, nan_ok=True),
    }
    assert all(type(value) is float for value in found.values())


def test_nothing_known_is_nan():
    for scores, targets in ((np.zeros((0, 5)), []), (rows([1], [2]), [-1, -1])):
        found = evaluate_styles(scores, np.array(targets, dtype=np.int64), NAMES)
        assert found.pop("support") == 0
        assert len(found) == 9 and all(math.isnan(value) for value in found.values())


def test_of_equal_scores_the_first_ranks_higher():
    equal = np.full((1, 5), 0.2)
    assert [evaluate_styles(equal, [i], NAMES)["top1"] for i in range(5)] == [100, 0, 0, 0, 0]
    assert [evaluate_styles(equal, [i], NAMES)["top3"] for i in range(5)] == [100, 100, 100, 0, 0]


def test_a_row_of_zeros_or_nan_has_no_answer():
    for value in (0.0, math.nan):
        found = evaluate_styles(np.full((1, 5), value), [0], NAMES)
        assert (found["top1"], found["top3"], found["macro_f1"]) == (0, 0, 0)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"scores \(2, 4\) and targets \(2,\) must be \(N, 5\)"):
        evaluate_styles(np.zeros((2, 4)), [0, 1], NAMES)
    with pytest.raises(ValueError, match=r"targets go from -1 to 5, but there are 5 styles"):
        evaluate_styles(np.zeros((2, 5)), [-1, 5], NAMES)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_equal_to_sklearn_and_blind_to_unknown_rows(seed, num):
    rng = np.random.default_rng(seed)
    scores = rng.random((num, 5)).astype(np.float32)
    targets = rng.integers(0, 5, num)
    found = evaluate_styles(scores, targets, NAMES)
    best, occurring = scores.argmax(axis=1), np.unique(targets)
    assert found["top1"] == pytest.approx(100 * accuracy_score(targets, best))
    assert found["top3"] == pytest.approx(100 * top_k_accuracy_score(targets, scores, k=3, labels=range(5)))
    f1 = f1_score(targets, best, labels=occurring, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(100 * f1)
    assert found["majority"] == pytest.approx(100 * np.bincount(targets).max() / num)
    unknown = np.full(7, -1)
    more = evaluate_styles(np.vstack([scores, rng.random((7, 5))]), np.concatenate([targets, unknown]), NAMES)
    np.testing.assert_equal(more, found)


def test_the_table_names_what_it_shows():
    schema = kfashion_schema()
    styles = schema.styles.labels
    scores = np.eye(len(styles))[[0, 0, 8]]
    results = {
        "style": evaluate_styles(scores, [0, 8, 8], styles),
        "sub_style": evaluate_styles(scores, [-1, -1, -1], styles),
    }
    lines = style_table(results, schema).splitlines()
    assert lines[2].split() == ["style", "66.7", "66.7", "66.7", "66.7", "3"]
    assert lines[3].split() == ["sub-style", "-", "-", "-", "-", "0"]
    assert lines[-23].split() == ["retro", "66.7", "-"]
    assert next(line for line in lines if line.startswith("street")).split() == ["street", "66.7", "-"]
    korean = style_table({"style": results["style"]}, schema, "ko")
    assert all(style.korean in korean for style in styles)
