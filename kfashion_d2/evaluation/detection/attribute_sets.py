"""
This module turns label rows and attribute scores into the plain sets that AP at IoU and F1 compares; attribute i is
column i of the row.

The sets are those of ``export_fashionpedia``: what is unknown, or does not apply, is absent like what is not there. A
garment that was labelled in part therefore counts an answer in its unknown groups as wrong.

Shapes: N objects, L labels of the schema. Sets are packed bits, uint8 (N, ceil(L / 8)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...schema import AttributeSchema
from ..attributes.metrics import threshold_row
from .object_arrays import pack_multi_hot

__all__ = ["answer_sets", "label_sets"]

_BLOCK = 1 << 15


def label_sets(targets: np.ndarray) -> np.ndarray:
    """Turn ``gt_attributes``, int8 (N, L) of 1 yes, 0 no, -1 unknown, into the sets of what is 1."""
    return pack_multi_hot(np.asarray(targets) == 1)


def answer_sets(
    scores: np.ndarray, schema: AttributeSchema, threshold: float | Mapping[str, float | Sequence[float]] = 0.5
) -> np.ndarray:
    """
    Turn ``pred_attributes`` into the sets of the answers: of a single-label group the label of the best score, none
    where all are 0 (the group does not apply); of a multi-label group every label whose score reaches the threshold.

    Args:
        scores: float (N, L), 0 to 1.
        schema: the groups of the L columns.
        threshold: the least score of a multi-label answer; see :func:`~.attributes.metrics.threshold_row`.

    Returns:
        uint8 (N, ceil(L / 8)).

    Raises:
        ValueError: the scores have another width than the schema.
    """
    if scores.ndim != 2 or scores.shape[1] != schema.num_labels:
        raise ValueError(
            f"scores {scores.shape} must be (N, {schema.num_labels}), the labels of schema {schema.name!r}"
        )
    least = threshold_row(threshold, schema).astype(scores.dtype if scores.dtype.kind == "f" else np.float64)
    packed = np.zeros((len(scores), (schema.num_labels + 7) // 8), dtype=np.uint8)
    for start in range(0, len(scores), _BLOCK):
        block = scores[start : start + _BLOCK]
        answers = block >= least
        for group in schema.groups:
            if group.is_single:
                columns = schema.slice(group.name)
                group_scores = block[:, columns]
                answers[:, columns] = False
                rows = np.flatnonzero(group_scores.any(axis=1))
                answers[rows, columns.start + group_scores[rows].argmax(axis=1)] = True
        packed[start : start + _BLOCK] = pack_multi_hot(answers)
    return packed
