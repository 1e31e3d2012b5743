"""
This module does COCO's greedy matching at many thresholds at once, of IoU and, beside it, of a second likeness such as
an attribute F1.

Shapes: P pairs of a detection and a ground truth of one image and one category, R pairs of thresholds, A area ranges,
G groups (an image and a category that has both).

The rule, for every pair of thresholds: detections in order of falling score each take a free ground truth. Going
through the ground truth in order, with the ignored ones last, one is preferred to the choice so far when neither its
IoU nor its F1 is lower; an ignored one is only taken where no other fits. All groups go one step at a time together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .object_arrays import group_starts

__all__ = ["Matches", "Pairs", "match_pairs"]

_CHUNK = 1 << 19  # entries of a state array: it stays in the cache


class Pairs(NamedTuple):
    """These pairs are sorted by group, within it by the detection's rank, within it by the ground truth's position."""

    groups: np.ndarray  # int64 (P,), 0 to G - 1
    det_ranks: np.ndarray  # int64 (P,), by falling score within the group
    gt_positions: np.ndarray  # int64 (P,), within the group
    dets: np.ndarray  # int64 (P,), row of the detection
    iou: np.ndarray  # float64 (P,)
    f1: np.ndarray  # float64 (P,)

    def take(self, kept: np.ndarray) -> Pairs:
        return Pairs(*(array[kept] for array in self))


class Matches(NamedTuple):
    """These are the detections that got a ground truth at one pair of thresholds or more, in one area range."""

    dets: np.ndarray  # int64 (M,)
    positions: np.ndarray  # int16 (M, R), of the ground truth within the group; -1 none
    groups: np.ndarray  # int64 (M,)
    ignored: np.ndarray  # bool (M, R), what it got is ignored


def match_pairs(
    pairs: Pairs,
    gt_starts: np.ndarray,
    gt_ignored: np.ndarray,
    reusable: np.ndarray,
    iou_thresholds: np.ndarray,
    f1_thresholds: np.ndarray,
) -> Iterator[Matches]:
    """
    Match detections to ground truth at every pair of thresholds.

    Args:
        pairs: of G groups; those below all thresholds may be left out.
        gt_starts: int64 (G + 1,), the ground truths of group g are rows gt_starts[g]:gt_starts[g + 1] of the next two.
        gt_ignored: bool (A, rows).
        reusable: bool (rows,), ground truth that any number of detections may take.
        iou_thresholds, f1_thresholds: float64 (R,), the two of each pair.

    Yields:
        A Matches, one for each area range. An area range that ignores all of a group, or nothing of it, shares the
        matching of the group with the others of the kind: then the order is the same.
    """
    # A problem: a group under one order of its ground truth. Problem g < G is group g in its own order.
    num_groups = len(gt_starts) - 1
    sizes = np.diff(gt_starts)
    before = np.concatenate([np.zeros((len(gt_ignored), 1), dtype=np.int64), gt_ignored.cumsum(axis=1)], axis=1)
    count = np.diff(before[:, gt_starts], axis=1)
    mixed = (count > 0) & (count < sizes)
    problem_of = np.where(mixed, num_groups + np.cumsum(mixed).reshape(mixed.shape) - 1, np.arange(num_groups))
    mixed_area, mixed_group = np.nonzero(mixed)
    used = ~mixed.all(axis=0)
    problems = np.concatenate([np.flatnonzero(used), num_groups + np.arange(len(mixed_group))])
    group_of = np.concatenate([np.arange(num_groups), mixed_group])
    area_of = np.concatenate([np.full(num_groups, -1), mixed_area])
    # Rows: (problem, detection). The pairs of the i-th detection are det_starts[i]:det_starts[i + 1] of `pairs`.
    det_starts = group_starts(pairs.dets)
    det_group = pairs.groups[det_starts[:-1]]
    group_det_starts = np.searchsorted(det_group, np.arange(num_groups + 1))
    num_dets = np.diff(group_det_starts)
    hits_per_chunk: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # problem, detection, positions
    problems = problems[num_dets[group_of[problems]] > 0]
    widths = 1 << np.ceil(np.log2(np.maximum(sizes[group_of[problems]], 1))).astype(np.int64)
    for width in np.unique(widths):
        chosen = problems[widths == width]
        chosen = chosen[np.argsort(-num_dets[group_of[chosen]], kind="stable")]
        step = max(1, _CHUNK // (len(iou_thresholds) * int(width)))
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            groups = group_of[part]
            order, ignored, again = _order(groups, area_of[part], gt_starts, gt_ignored, reusable, int(width))
            det_indices, offsets = _detections_by_step(num_dets[groups], group_det_starts[groups])
            iou, f1 = _dense(det_indices, offsets, order, pairs, det_starts, int(width))
            slots = _match(iou, f1, offsets, ignored, again, iou_thresholds, f1_thresholds)
            hit = np.flatnonzero((slots >= 0).any(axis=1))
            position = np.concatenate([np.arange(n) for n in np.diff(offsets)])[hit] if len(hit) else hit
            back = np.concatenate([order, np.full((len(order), 1), -1)], axis=1)  # slot -1 -> position -1
            positions = np.take_along_axis(back[position], slots[hit].astype(np.int64), axis=1)
            hits_per_chunk.append((part[position], det_indices[hit], positions.astype(np.int16)))
    if not hits_per_chunk:
        none = np.zeros((0, len(iou_thresholds)), dtype=np.int16)
        for _ in gt_ignored:
            yield Matches(np.zeros(0, dtype=np.int64), none, np.zeros(0, dtype=np.int64), none.astype(bool))
        return
    problem, det_index, positions = (np.concatenate([f[i] for f in hits_per_chunk]) for i in range(3))
    for area in range(len(gt_ignored)):
        groups = group_of[problem]
        rows_of_area = np.flatnonzero(problem_of[area][groups] == problem)
        groups, area_positions = groups[rows_of_area], positions[rows_of_area]
        ignored = gt_ignored[area][gt_starts[groups][:, None] + np.maximum(area_positions, 0)] & (area_positions >= 0)
        yield Matches(pairs.dets[det_starts[det_index[rows_of_area]]], area_positions, groups, ignored)


def _order(
    groups: np.ndarray,
    areas: np.ndarray,
    gt_starts: np.ndarray,
    gt_ignored: np.ndarray,
    reusable: np.ndarray,
    width: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return int64 (n, width): for each slot the position of the ground truth in its group, -1 where there is none; and
    bool (n, width): that it is ignored where others are not, and that it may be taken again.
    """
    sizes = np.diff(gt_starts)[groups]
    positions = np.broadcast_to(np.arange(width), (len(groups), width))
    real = positions < sizes[:, None]
    rows = np.where(real, gt_starts[groups][:, None] + positions, 0)
    ignored = gt_ignored[areas[:, None], rows] & real & (areas >= 0)[:, None]
    order = np.argsort(np.where(real, ignored, 2), axis=1, kind="stable")
    at = np.arange(len(groups))[:, None]
    real, ignored, again = real[at, order], ignored[at, order], reusable[rows][at, order]
    return np.where(real, order, -1), ignored, again


def _detections_by_step(num_dets: np.ndarray, first_indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    List the detections of n problems (sorted by falling number of detections), all first ones, then all second ones,
    and so on: int64 (rows,), and int64 (steps + 1,) where each step starts.
    """
    steps = int(num_dets[0])
    alive = len(num_dets) - np.searchsorted(num_dets[::-1], np.arange(steps), side="right")
    det_indices = np.concatenate([first_indices[:n] + i for i, n in enumerate(alive)])
    return det_indices, np.concatenate([[0], np.cumsum(alive)])


def _dense(
    det_indices: np.ndarray, offsets: np.ndarray, order: np.ndarray, pairs: Pairs, det_starts: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the IoU and the F1 with the ground truth in each slot, float64 (rows, width); -2 where there is no pair.
    """
    slot_of = np.empty_like(order)  # the order, inverted: position -> slot
    np.put_along_axis(slot_of, np.where(order >= 0, order, np.arange(width)), np.arange(width)[None], axis=1)
    lengths = np.diff(det_starts)[det_indices]
    rows = np.repeat(np.arange(len(det_indices)), lengths)
    index = np.repeat(det_starts[det_indices] - np.cumsum(lengths) + lengths, lengths) + np.arange(len(rows))
    problem = np.concatenate([np.arange(n) for n in np.diff(offsets)])[rows]
    slots = slot_of[problem, pairs.gt_positions[index]]
    iou = np.full((len(det_indices), width), -2.0)
    f1 = iou.copy()
    iou[rows, slots], f1[rows, slots] = pairs.iou[index], pairs.f1[index]
    return iou, f1


def _match(
    iou: np.ndarray,
    f1: np.ndarray,
    offsets: np.ndarray,
    ignored: np.ndarray,
    reusable: np.ndarray,
    iou_thresholds: np.ndarray,
    f1_thresholds: np.ndarray,
) -> np.ndarray:
    """Return the slot that each detection gets, or -1; int16 (rows, R)."""
    num_problems, width = ignored.shape
    num_thresholds = len(iou_thresholds)
    free = np.ones((width, num_problems, num_thresholds), dtype=bool)
    slots = np.full((len(iou), num_thresholds), -1, dtype=np.int16)
    orders = ignored.any()
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        n = end - start
        best_iou = np.broadcast_to(iou_thresholds, (n, num_thresholds))
        best_f1 = np.broadcast_to(f1_thresholds, (n, num_thresholds))
        choice = slots[start:end]
        settled = np.zeros((n, num_thresholds), dtype=bool)  # has one that is not ignored
        for slot in range(width):
            this_iou, this_f1 = iou[start:end, slot, None], f1[start:end, slot, None]
            fits = (this_iou >= best_iou) & (this_f1 >= best_f1) & free[slot, :n]
            if orders:
                excused = ignored[:n, slot, None]
                fits &= ~(settled & excused)
                settled |= fits & ~excused
            choice[fits] = slot
            if slot < width - 1:
                best_iou, best_f1 = np.where(fits, this_iou, best_iou), np.where(fits, this_f1, best_f1)
        for slot in range(width):
            free[slot, :n] &= (choice != slot) | reusable[:n, slot, None]
    return slots
