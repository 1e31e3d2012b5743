import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation.analysis.errors import analyze_errors
from kfashion_d2.evaluation.analysis.mistakes import best_and_worst, confident_mistakes, image_scores
from tests.evaluation.predictions_by_hand import by_hand

ROWS = np.array([10, 11, 12, 13, 14])


def test_single_label_mistakes_by_hand():
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.9, 0, 0.1], [0, 0, 0], [0.2, 0.1, 0.7]])
    targets = np.array([[0, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [-1, -1, -1]], dtype=np.int8)
    found = confident_mistakes(ROWS, scores, targets, True, np.full(3, 0.5), 5)
    # Right, without an answer, and unknown: no mistakes.
    assert found.garments.tolist() == [12, 10]
    assert (found.truth.tolist(), found.answers.tolist()) == ([2, 1], [0, 0])
    assert found.confidence == pytest.approx([0.9, 0.7])
    assert confident_mistakes(ROWS, scores, targets, True, np.full(3, 0.5), 1).garments.tolist() == [12]


def test_multi_label_mistakes_by_hand():
    scores = np.array([[0.6, 0.05], [0.45, 0.9], [0.3, 0.2], [0.99, 0.99], [0.5, 0.5]])
    targets = np.array([[0, 1], [1, 1], [0, 0], [-1, -1], [1, -1]], dtype=np.int8)
    found = confident_mistakes(ROWS, scores, targets, False, np.array([0.5, 0.5]), 5)
    # 10: label 0 too much at 0.6, label 1 missing at 1 - 0.05: the surer one; 11: label 0 missing at 1 - 0.45.
    assert found.garments.tolist() == [10, 11]
    assert (found.truth.tolist(), found.answers.tolist()) == ([1, 0], [-1, -1])
    assert found.confidence == pytest.approx([0.95, 0.55])
    # At a lower threshold of label 0 garment 11 is right, and 12's 0.3 is an answer.
    found = confident_mistakes(ROWS, scores, targets, False, np.array([0.25, 0.5]), 5)
    assert (found.garments.tolist(), found.answers.tolist()) == ([10, 12], [-1, 0])


def test_scores_of_images_by_hand():
    predictions = by_hand()
    errors = analyze_errors(predictions, score_threshold=0.5)
    # Image 0: the top is found and both groups are right (1); the bottom is found as a dress (0, and the dress counts
    # with it). Image 1: the outer is missed (0), and a detection is on nothing (0).
    assert image_scores(predictions, errors).tolist() == [0.5, 0.0]
    # Of unknown class the bottom neither counts nor excuses the dress, whose part is another.
    classes = predictions.gt_classes.copy()
    classes[1] = -1
    unknown = replace(predictions, gt_classes=classes)
    scores = image_scores(unknown, analyze_errors(unknown, score_threshold=0.5))
    assert scores[1] == 0 and 0 < scores[0] <= 1
    nothing = predictions.select(np.array([1]))
    nothing = replace(nothing, gt_classes=np.array([-1], dtype=np.int16), det_scores=np.array([0.1], dtype=np.float32))
    assert math.isnan(image_scores(nothing, analyze_errors(nothing, score_threshold=0.5))[0])


def test_best_and_worst_share_no_image():
    predictions = make_predictions(5, detections_per_image=2)
    counts = np.diff(predictions.gt_offsets)
    best, worst = best_and_worst(predictions, np.array([0.5, 1.0, math.nan, 0.0, 0.25]), 2)
    assert (best.tolist(), worst.tolist()) == ([1, 0], [3, 4])
    best, worst = best_and_worst(predictions, np.array([math.nan, 1.0, math.nan, 0.0, math.nan]), 4)
    assert (best.tolist(), worst.tolist()) == ([1], [3])
    best, _ = best_and_worst(predictions, np.ones(5), 3)
    assert best.tolist() == sorted(range(5), key=lambda i: (-counts[i], i))[:3]
    best, worst = best_and_worst(predictions.select(np.zeros(0, dtype=int)), np.zeros(0), 3)
    assert len(best) == len(worst) == 0
