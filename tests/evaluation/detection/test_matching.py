import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfashion_d2.evaluation.detection.matching import box_iou, match_detections


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_match(boxes, scores, classes, gt_boxes, gt_classes, threshold, gt_parts, class_parts, agnostic):
    found = [-1] * len(gt_boxes)
    for det in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        best, best_iou = None, 0.0
        for gt in range(len(gt_boxes)):
            fits = agnostic or classes[det] == gt_classes[gt]
            if gt_classes[gt] == -1 and class_parts[classes[det]] == gt_parts[gt]:
                fits = True
            iou = slow_iou(boxes[det], gt_boxes[gt])
            if fits and found[gt] == -1 and iou >= threshold and iou > best_iou:
                best, best_iou = gt, iou
        if best is not None:
            found[best] = det
    return found


def test_iou_by_hand():
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 9]])
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 7]])
    expected = [[1, 50 / 150, 0, 10 / 100], [0, 0, 0, 0]]
    np.testing.assert_allclose(box_iou(boxes, others), expected)


def test_the_best_score_takes_the_garment():
    gt = np.array([[0, 0, 10, 10]])
    dets = np.array([[0, 0, 10, 10], [0, 0, 10, 9]])
    assert match_detections(dets, [0.3, 0.9], [0, 0], gt, [0]).tolist() == [1]
    assert match_detections(dets, [0.9, 0.9], [0, 0], gt, [0]).tolist() == [0]  # a tie: the first
    many = np.tile(gt, (100, 1))
    assert match_detections(many, [0.5] * 50 + [0.6] * 50, [0] * 100, gt, [0]).tolist() == [50]
    assert match_detections(dets, [0.3, 0.9], [0, 1], gt, [0]).tolist() == [0]  # another class
    assert match_detections(dets, [0.3, 0.9], [0, 1], gt, [0], class_agnostic=True).tolist() == [1]


def test_a_second_detection_takes_the_next_best_garment():
    gt = np.array([[0, 0, 10, 10], [0, 0, 10, 8]])
    dets = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    assert match_detections(dets, [0.5, 0.9, 0.7], [3, 3, 3], gt, [3, 3]).tolist() == [1, 2]


def test_threshold_is_included():
    gt, det = np.array([[0, 0, 10, 10]]), np.array([[0, 0, 10, 5]])
    assert match_detections(det, [1.0], [0], gt, [0], 0.5).tolist() == [0]
    assert match_detections(det, [1.0], [0], gt, [0], 0.51).tolist() == [-1]


def test_unknown_class_goes_by_part():
    gt, dets = np.array([[0, 0, 10, 10]]), np.array([[0, 0, 10, 10]] * 2)
    parts = {"gt_parts": np.array([1]), "class_parts": (0, 1, 1)}
    assert match_detections(dets, [0.9, 0.4], [0, 2], gt, [-1], **parts).tolist() == [1]
    assert match_detections(dets, [0.9, 0.4], [0, 0], gt, [-1], **parts).tolist() == [-1]
    with pytest.raises(ValueError, match="class -1"):
        match_detections(dets, [0.9, 0.4], [0, 2], gt, [-1])
    assert match_detections(dets, [0.9, 0.4], [0, 2], gt, [-1], class_agnostic=True).tolist() == [0]


def test_nothing_detected_or_nothing_there():
    none, one = np.zeros((0, 4)), np.array([[0, 0, 1, 1]])
    assert match_detections(none, [], [], one, [0]).tolist() == [-1]
    assert match_detections(one, [0.5], [0], none, []).shape == (0,)
    assert match_detections(none, [], np.zeros(0, dtype=int), one, [-1], gt_parts=[0], class_parts=(0,)).tolist() == [
        -1
    ]


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1])
def test_refuses_a_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match="iou_threshold"):
        match_detections(np.zeros((0, 4)), [], [], np.zeros((0, 4)), [], threshold)


def crowded(rng, count):
    """Boxes on a coarse grid, so that overlaps and equal IoUs are common; some without area."""
    corner = rng.integers(0, 3, (count, 2))
    return np.hstack([corner, corner + rng.integers(0, 5, (count, 2))]).astype(float)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_dets=st.integers(0, 12),
    num_gt=st.integers(0, 6),
    threshold=st.sampled_from([0.1, 0.25, 0.5, 1.0]),
    agnostic=st.booleans(),
)
def test_agrees_with_the_slow_version(seed, num_dets, num_gt, threshold, agnostic):
    rng = np.random.default_rng(seed)
    dets, gts = crowded(rng, num_dets), crowded(rng, num_gt)
    scores = rng.integers(0, 5, num_dets) / 4
    classes, gt_classes = rng.integers(0, 3, num_dets), rng.integers(-1, 3, num_gt)
    gt_parts, class_parts = rng.integers(0, 2, num_gt), (0, 1, 1)
    found = match_detections(
        dets,
        scores,
        classes,
        gts,
        gt_classes,
        threshold,
        gt_parts=gt_parts,
        class_parts=class_parts,
        class_agnostic=agnostic,
    )
    expected = slow_match(dets, scores, classes, gts, gt_classes, threshold, gt_parts, class_parts, agnostic)
    assert found.tolist() == expected
    used = found[found >= 0]
    assert len(set(used.tolist())) == len(used)
