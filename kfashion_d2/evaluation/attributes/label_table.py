"""
This module looks at every label by itself: how often it is true, answered and right, its precision, recall, F1 and AP,
its training count.

Shapes: N garments, L labels in all groups together, K labels of a group. Targets are int8: 1 yes, 0 no, -1 unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...schema import UNKNOWN, AttributeSchema
from ...utils.arrays import ratio_or_nan
from .frequency_bands import BANDS, label_bands
from .metrics import single_answers, threshold_row
from .ranking import average_precision

__all__ = ["LabelTable", "confusion_matrix", "label_table"]


@dataclass(frozen=True)
class LabelTable:
    """
    This table has columns over the L labels.

    Attributes:
        schema: whose labels.
        support: int64, garments that have the label.
        known: int64, garments of which it is known whether they have it (in a single-label group: whose group is).
        answered: int64, of the known ones those that the model answers with it.
        right: int64, of the answered ones those that have it.
        average_precision: float64, 0 to 1; NaN of a label that is nowhere true. In a single-label group of its
            score against all others.
        train_count: int64, garments of the training set that have it; None where they are not known.
        bands: int8, index into BANDS, -1 of a label that no training garment has; None as above.
    """

    schema: AttributeSchema
    support: np.ndarray
    known: np.ndarray
    answered: np.ndarray
    right: np.ndarray
    average_precision: np.ndarray
    train_count: np.ndarray | None = None
    bands: np.ndarray | None = None

    @property
    def precision(self) -> np.ndarray:
        """Return the precision of each label, float64 (L,), 0 to 1; NaN of a label that is never answered."""
        return ratio_or_nan(self.right, self.answered)

    @property
    def recall(self) -> np.ndarray:
        """Return the recall of each label, float64 (L,), 0 to 1; NaN of a label that is nowhere true."""
        return ratio_or_nan(self.right, self.support)

    @property
    def f1(self) -> np.ndarray:
        """
        Return the F1 of each label, float64 (L,), 0 to 1; NaN of a label that is nowhere true, whatever was answered.
        """
        return np.where(self.support > 0, ratio_or_nan(2 * self.right, self.support + self.answered), math.nan)

    def rows(self) -> list[dict[str, Any]]:
        """
        Return a dict for each label, of plain values: group, label, korean, support, known, answered, right; precision,
        recall, f1 and AP in percent, None where there is nothing to measure; train_count and band, None where unknown.
        """
        labels = [(group.name, label) for group in self.schema.groups for label in group.labels]
        rates = {"precision": self.precision, "recall": self.recall, "f1": self.f1, "AP": self.average_precision}
        return [
            {
                "group": group,
                "label": label.name,
                "korean": label.korean,
                **{name: int(getattr(self, name)[i]) for name in ("support", "known", "answered", "right")},
                **{name: None if math.isnan(x[i]) else 100 * float(x[i]) for name, x in rates.items()},
                "train_count": None if self.train_count is None else int(self.train_count[i]),
                "band": None if self.bands is None or self.bands[i] < 0 else BANDS[self.bands[i]],
            }
            for i, (group, label) in enumerate(labels)
        ]


def confusion_matrix(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """
    Count true labels against answers of a single-label group, over its known rows.

    Args:
        scores, targets: float (N, K), int8 (N, K).

    Returns:
        int64 (K, K + 1): rows are the true labels, columns the answers; the last column is no answer at all.
    """
    num_labels = targets.shape[1]
    known = (targets != UNKNOWN).all(axis=1)
    truth, answers = targets[known].argmax(axis=1), single_answers(np.nan_to_num(scores[known]))
    cells = truth * (num_labels + 1) + np.where(answers < 0, num_labels, answers)
    return np.bincount(cells, minlength=num_labels * (num_labels + 1)).reshape(num_labels, num_labels + 1)


def label_table(
    scores: np.ndarray,
    targets: np.ndarray,
    schema: AttributeSchema,
    threshold: float | Mapping[str, float | Sequence[float]] = 0.5,
    label_counts: np.ndarray | None = None,
) -> LabelTable:
    """
    Measure every label by itself.

    Args:
        scores: float (N, L), 0 to 1; a NaN counts as 0.
        targets: int8 (N, L).
        schema: the groups of the L columns.
        threshold: the least score of a multi-label answer; see :func:`threshold_row`.
        label_counts: int (2, L): of the training set, garments that have the label and garments of which it is known.
    """
    least = threshold_row(threshold, schema).astype(scores.dtype)
    support, known, answered, right = np.zeros((4, schema.num_labels), dtype=np.int64)
    precisions = np.full(schema.num_labels, math.nan)
    for group in schema.groups:
        columns = schema.slice(group.name)
        group_scores, group_targets = np.nan_to_num(scores[:, columns]), targets[:, columns]
        is_known = group_targets != UNKNOWN
        if group.is_single:
            rows = is_known.all(axis=1)
            group_scores, group_targets, is_known = group_scores[rows], group_targets[rows], is_known[rows]
            answer = single_answers(group_scores)[:, None] == np.arange(group.num_labels)
        else:
            answer = (group_scores >= least[columns]) & is_known
        positive = group_targets == 1
        support[columns], known[columns] = positive.sum(axis=0), is_known.sum(axis=0)
        answered[columns], right[columns] = answer.sum(axis=0), (answer & positive).sum(axis=0)
        precisions[columns] = average_precision(group_scores, group_targets)
    counts = None if label_counts is None else np.asarray(label_counts)
    return LabelTable(
        schema,
        support,
        known,
        answered,
        right,
        precisions,
        None if counts is None else counts[0],
        None if counts is None else label_bands(counts[0], counts[1]),
    )
