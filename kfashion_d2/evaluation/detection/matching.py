"""
This module decides which detection found which garment. Shapes: D detections and G ground-truth boxes of one image,
XYXY pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

__all__ = ["box_iou", "match_detections", "match_images", "overlapping_pairs"]

_PAIRS_AT_ONCE = 1_000_000  # some 100 MB


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """
    Compute the IoU of every pair of boxes.

    Args:
        boxes, others: float (D, 4) and (G, 4).

    Returns:
        float64 (D, G): intersection over union; 0 where a box has no area.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    others = np.asarray(others, dtype=np.float64).reshape(-1, 4)
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    areas, other_areas = ((b[:, 2:] - b[:, :2]).clip(0).prod(axis=1) for b in (boxes, others))
    union = areas[:, None] + other_areas[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def match_detections(
    det_boxes: np.ndarray,
    det_scores: np.ndarray,
    det_classes: np.ndarray,
    gt_boxes: np.ndarray,
    gt_classes: np.ndarray,
    iou_threshold: float = 0.5,
    *,
    gt_parts: np.ndarray | None = None,
    class_parts: Sequence[int] | None = None,
    class_agnostic: bool = False,
) -> np.ndarray:
    """
    Match greedily, as COCO does: the detections in order of falling score, equal ones in the order given, each take the
    garment of the best IoU (the first of equal ones) among those still free, of the same class and not below the
    threshold. A garment of unknown class (-1) goes with a detection whose class belongs to the garment's part.

    Args:
        det_boxes, det_scores, det_classes: float (D, 4), float (D,), int (D,).
        gt_boxes, gt_classes: float (G, 4), int (G,).
        iou_threshold: the least IoU, above 0.
        gt_parts: int (G,), the garments' part ids; needed where a class is -1.
        class_parts: for every class of the detector, the id of its part; needed where a class is -1.
        class_agnostic: match whatever the classes are.

    Returns:
        int64 (G,): the index of the garment's detection, or -1.

    Raises:
        ValueError: the threshold is not in (0, 1], or a class is -1 and its part cannot be known.
    """
    return match_images(
        np.array([0, len(det_scores)]),
        det_boxes,
        det_scores,
        det_classes,
        np.array([0, len(gt_classes)]),
        gt_boxes,
        gt_classes,
        iou_threshold,
        gt_parts=gt_parts,
        class_parts=class_parts,
        class_agnostic=class_agnostic,
    )


def match_images(
    det_offsets: np.ndarray,
    det_boxes: np.ndarray,
    det_scores: np.ndarray,
    det_classes: np.ndarray,
    gt_offsets: np.ndarray,
    gt_boxes: np.ndarray,
    gt_classes: np.ndarray,
    iou_threshold: float = 0.5,
    *,
    gt_parts: np.ndarray | None = None,
    class_parts: Sequence[int] | None = None,
    class_agnostic: bool = False,
) -> np.ndarray:
    """
    Do :func:`match_detections` of many images at once, in far less time than one by one.

    Args:
        det_offsets, gt_offsets: int (N + 1,): the rows of image i begin at ``offsets[i]``, in the arrays of D
            detections and of G garments of all images together.

    Returns:
        int64 (G,): the row of the garment's detection, or -1.

    Raises:
        ValueError: as :func:`match_detections`.
    """
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold={iou_threshold}: it must be above 0 and at most 1")
    gt_classes, det_classes, det_scores = np.asarray(gt_classes), np.asarray(det_classes), np.asarray(det_scores)
    unknown = gt_classes == -1
    by_part = not class_agnostic and bool(unknown.any())
    if by_part and (gt_parts is None or class_parts is None):
        raise ValueError("a garment has class -1 (unknown): give gt_parts and class_parts, or class_agnostic")
    matches = np.full(len(gt_classes), -1, dtype=np.int64)
    for dets, gts, ious in overlapping_pairs(det_offsets, det_boxes, gt_offsets, gt_boxes, iou_threshold):
        if not class_agnostic:
            fits = det_classes[dets] == gt_classes[gts]
            if by_part:
                det_parts = np.asarray(class_parts)[det_classes[dets]]
                fits |= unknown[gts] & (det_parts == np.asarray(gt_parts)[gts])
            dets, gts, ious = dets[fits], gts[fits], ious[fits]
        images = np.searchsorted(gt_offsets, gts, side="right")
        order = np.lexsort((gts, -ious, dets, -det_scores[dets], images))
        dets, gts, images = dets[order], gts[order], images[order]
        # Each round settles the first pair that is left of every image.
        while len(dets):
            first = np.flatnonzero(np.diff(images, prepend=-1))
            matches[gts[first]] = dets[first]
            lengths = np.diff(np.append(first, len(dets)))
            left = (dets != np.repeat(dets[first], lengths)) & (gts != np.repeat(gts[first], lengths))
            dets, gts, images = dets[left], gts[left], images[left]
    return matches


def overlapping_pairs(
    det_offsets: np.ndarray,
    det_boxes: np.ndarray,
    gt_offsets: np.ndarray,
    gt_boxes: np.ndarray,
    iou_threshold: float,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """
    List the pairs of a detection and a garment of the same image whose IoU is not below the threshold.

    Yields:
        For some images at a time int64 (P,), int64 (P,) and float64 (P,): rows of detections, rows of garments, IoUs;
        by image, then by detection, then by garment.
    """
    det_boxes = np.asarray(det_boxes, dtype=np.float64).reshape(-1, 4)
    gt_boxes = np.asarray(gt_boxes, dtype=np.float64).reshape(-1, 4)
    num_dets, num_gts = np.diff(det_offsets).astype(np.int64), np.diff(gt_offsets).astype(np.int64)
    ends = np.cumsum(num_dets * num_gts)
    start = 0
    while start < len(ends):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        images = np.repeat(np.arange(start, stop), num_dets[start:stop] * num_gts[start:stop])
        within = np.arange(len(images)) - (np.concatenate([[0], ends])[images] - done)
        dets = np.asarray(det_offsets)[images] + within // num_gts[images]
        gts = np.asarray(gt_offsets)[images] + within % num_gts[images]
        ious = _paired_iou(det_boxes[dets], gt_boxes[gts])
        kept = ious >= iou_threshold
        yield dets[kept], gts[kept], ious[kept]
        start = stop


def _paired_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the IoU of float64 (P, 4) twice as float64 (P,), as :func:`box_iou` does."""
    left, right = np.maximum(boxes[:, 0], others[:, 0]), np.minimum(boxes[:, 2], others[:, 2])
    top, bottom = np.maximum(boxes[:, 1], others[:, 1]), np.minimum(boxes[:, 3], others[:, 3])
    shared = (right - left).clip(0) * (bottom - top).clip(0)
    areas, other_areas = ((b[:, 2] - b[:, 0]).clip(0) * (b[:, 3] - b[:, 1]).clip(0) for b in (boxes, others))
    union = areas + other_areas - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)
