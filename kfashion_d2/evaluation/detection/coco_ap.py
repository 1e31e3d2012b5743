"""
This module computes COCO's AP and AR of boxes or masks from arrays, without COCO's dicts.

The matching is the one of :mod:`.iou_f1_arrays` without attributes; the IoU of masks is pycocotools'. The numbers are
those of pycocotools, in a small part of its time and memory; docs/metrics.md has the figures.

Shapes: T = 10 IoU thresholds, K categories, A = 4 area ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .iou_f1_arrays import iou_f1_tables, mean_or_minus_one
from .object_arrays import ObjectArrays

__all__ = ["CocoTables", "coco_tables"]


@dataclass
class CocoTables:
    """
    These tables have average precision and recall, of which COCO's numbers are means; -1 where there is nothing to
    find.

    Attributes:
        ap: float64 (T, K, A), average precision over the 101 recall thresholds, with the last limit of detections.
        recall: float64 (T, K, A), with the last limit.
        recall_at: float64 (2, T, K), with the first and with the second limit, of all areas.
    """

    ap: np.ndarray
    recall: np.ndarray
    recall_at: np.ndarray

    @property
    def stats(self) -> np.ndarray:
        """
        Return COCO's twelve numbers, 0 to 1 or -1.

        Returns:
            float64 (12,): AP, AP50, AP75, APs, APm, APl; AR with the three limits; ARs, ARm, ARl. All but the first two
            ARs are with the last limit.
        """
        return np.array(
            [
                mean_or_minus_one(self.ap[..., 0]),
                mean_or_minus_one(self.ap[0, :, 0]),
                mean_or_minus_one(self.ap[5, :, 0]),
                *(mean_or_minus_one(self.ap[..., area]) for area in (1, 2, 3)),
                *(mean_or_minus_one(recall) for recall in self.recall_at),
                *(mean_or_minus_one(self.recall[..., area]) for area in (0, 1, 2, 3)),
            ]
        )


def coco_tables(
    gt: ObjectArrays,
    dt: ObjectArrays,
    num_categories: int,
    *,
    max_dets: Sequence[int] = (1, 10, 100),
) -> CocoTables:
    """
    Match detections to ground truth as COCO does, and compute average precision and recall of every category.

    Args:
        gt: with `masks` to compare masks, without to compare boxes; `crowd` where there are regions in which
            detections of the region's category are excused.
        dt: with `scores`, and `masks` where `gt` has them; `areas` are what small, medium and large go by. Equal
            scores count in the order given.
        num_categories: K.
        max_dets: the three limits of detections an image and category, ascending.

    Raises:
        ValueError: not three limits, or not ascending ones.
    """
    if len(max_dets) != 3 or sorted(max_dets) != list(max_dets):
        raise ValueError(f"max_dets is {max_dets}; give three limits, ascending")
    tables = iou_f1_tables(
        gt,
        dt,
        num_categories=num_categories,
        num_attributes=0,
        with_attributes=np.zeros(num_categories, dtype=bool),
        max_dets=max_dets,
        without_iou=False,
    )
    # All F1 thresholds but the last, and the IoU threshold after COCO's ten, are not COCO's.
    ap, recall, recall_at = (
        np.nan_to_num(table[..., :10, -1], nan=-1.0) for table in (tables.ap, tables.recall, tables.recall_at)
    )
    return CocoTables(ap.transpose(2, 0, 1), recall.transpose(2, 0, 1), recall_at.transpose(0, 2, 1))
