"""Predictions for two images, few enough to be evaluated by hand."""

import numpy as np

from kfashion_d2.evaluation import Predictions, PredictionsInfo
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema().for_classes("part").subset(["fit", "print"])
TOP, BOTTOM, OUTER, DRESS = range(4)


def row(fit, prints, positive=0.9, rest=0.1):
    """Give a float16 row of scores that is sure of one fit and some prints."""
    scores = np.full(SCHEMA.num_labels, rest, dtype=np.float16)
    scores[SCHEMA.slice("fit")][fit] = positive
    scores[SCHEMA.slice("print")][list(prints)] = positive
    return scores


def labels(fit, prints):
    """Give an int8 row of targets."""
    return (row(fit, prints, 1, 0)).astype(np.int8)


def by_hand():
    """Two images: a top found by its class, a bottom found as a dress; an outer missed."""
    return Predictions(
        info=PredictionsInfo("by_hand", SCHEMA, "part", SCHEMA.thing_classes("part")),
        image_ids=np.array([7, 3]),
        image_indices=np.array([0, 1]),
        heights=np.array([100, 100], dtype=np.int32),
        widths=np.array([200, 200], dtype=np.int32),
        styles=np.array([-1, -1], dtype=np.int16),
        sub_styles=np.array([-1, -1], dtype=np.int16),
        det_offsets=np.array([0, 2, 3]),
        det_boxes=np.array([[0, 0, 100, 50], [100, 50, 200, 90], [0, 0, 20, 20]], dtype=np.float32),
        det_scores=np.array([0.9, 0.8, 0.7], dtype=np.float32),
        det_classes=np.array([TOP, DRESS, OUTER], dtype=np.int16),
        det_attributes=np.stack([row(0, [1]), row(2, [2]), row(3, [4])]),
        gt_offsets=np.array([0, 2, 3]),
        gt_places=np.array([0, 1, 0], dtype=np.int32),
        gt_boxes=np.array([[0, 0, 100, 50], [100, 50, 200, 100], [50, 50, 90, 90]], dtype=np.float64),
        gt_areas=np.array([5000.0, 5000, 1600]),
        gt_classes=np.array([TOP, BOTTOM, OUTER], dtype=np.int16),
        gt_parts=np.array([TOP, BOTTOM, OUTER], dtype=np.int8),
        gt_targets=np.stack([labels(0, [1]), labels(1, [2]), labels(3, [4])]),
        gt_attributes=np.stack([row(0, [1]), row(1, [3]), row(3, [4])]),
    )
