"""Which detection found which garment. Shapes: D detections and G ground-truth boxes of one image, XYXY pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["box_iou", "match_detections"]


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """
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
    Greedy matching, as COCO's: the detections in order of falling score, equal ones in the order given, each take the
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
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold={iou_threshold}: it must be above 0 and at most 1")
    gt_classes, det_classes = np.asarray(gt_classes), np.asarray(det_classes)
    matches = np.full(len(gt_classes), -1, dtype=np.int64)
    allowed = box_iou(det_boxes, gt_boxes)
    allowed[allowed < iou_threshold] = 0
    if not class_agnostic:
        fits = det_classes[:, None] == gt_classes[None, :]
        unknown = gt_classes == -1
        if unknown.any():
            if gt_parts is None or class_parts is None:
                raise ValueError("a garment has class -1 (unknown): give gt_parts and class_parts, or class_agnostic")
            det_parts = np.asarray(class_parts)[det_classes]
            fits |= unknown[None, :] & (det_parts[:, None] == np.asarray(gt_parts)[None, :])
        allowed[~fits] = 0
    for det in np.argsort(-np.asarray(det_scores), kind="stable"):
        # Most detections overlap nothing, or nothing that is left.
        if allowed[det].any():
            gt = int(allowed[det].argmax())
            matches[gt] = det
            allowed[:, gt] = 0
    return matches
