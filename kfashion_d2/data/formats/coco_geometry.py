"""
This module reads the box and the polygon of a COCO annotation, and mends or drops them by the converter's rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..annotation.geometry import MIN_IOU, Box, clamp, clip_box, has_area, iou
from .coco_values import numbers, whole_or_none

__all__ = ["Note", "is_crowd", "resolve_box_and_polygon"]

_ROUNDING = 1e-6  # pixels by which x + width may pass the border

Note = Callable[..., None]  # of key, reason, action and value


def is_crowd(anno: dict[str, Any]) -> bool:
    """Say whether an annotation is a crowd region."""
    return bool(whole_or_none(anno.get("iscrowd")))


def resolve_box_and_polygon(
    anno: dict[str, Any], width: int, height: int, where: str, note: Note
) -> tuple[list[float] | None, list[float] | None]:
    """
    Return the box, or None, and the polygon where it is sound.

    The box is the file's, clipped to the image; where it is missing, has no area or lies outside, it is the polygon's
    bounds. A polygon is sound as for the converter: three or more points that are not on one line, after its points
    were clamped to the image, and bounds that agree with the box.
    """
    box = _box(anno.get("bbox"), width, height, where, note)
    ring = _ring(anno, width, height, where, note)
    if ring is None:
        return box, None
    xs, ys = ring[0::2], ring[1::2]
    bounds = min(xs), min(ys), max(xs), max(ys)
    if box is None:
        return [bounds[0], bounds[1], bounds[2] - bounds[0], bounds[3] - bounds[1]], ring
    if iou(bounds, (box[0], box[1], box[0] + box[2], box[1] + box[3])) < MIN_IOU:
        note("segmentation", "polygon and bbox disagree")
        return box, None
    return box, ring


def _box(value: Any, width: int, height: int, where: str, note: Note) -> list[float] | None:
    if value is None:
        note("bbox", "no bbox", "noted")
        return None
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"{where}: bbox {value!r} is not of four numbers; give [x, y, width, height], or leave it out")
    x, y, w, h = given = numbers(value, "bbox", where)
    if w <= 0 or h <= 0:
        note("bbox", "bbox without area", value=value)
        return None
    raw: Box = (x, y, x + w, y + h)
    clipped = clip_box(raw, width, height)
    if clipped is None:
        note("bbox", "bbox outside the image", value=value)
        return None
    if max(abs(a - b) for a, b in zip(raw, clipped, strict=True)) <= _ROUNDING:
        return given
    note("bbox", "bbox leaves the image", value=value)
    return [clipped[0], clipped[1], clipped[2] - clipped[0], clipped[3] - clipped[1]]


def _ring(anno: dict[str, Any], width: int, height: int, where: str, note: Note) -> list[float] | None:
    if not anno.get("mask_valid", True):
        return None
    polygons = anno.get("segmentation")
    if isinstance(polygons, dict):
        note("segmentation", "run-length mask: the box stands in", "noted")
        return None
    if not polygons:
        note("segmentation", "no polygon", "noted")
        return None
    if not isinstance(polygons, list):
        raise ValueError(f"{where}: segmentation {polygons!r} is no list of polygons; correct it, or leave it out")
    rings, is_odd, leaves = [], False, False
    for polygon in polygons if isinstance(polygons[0], list) else [polygons]:
        if not isinstance(polygon, list):
            raise ValueError(f"{where}: segmentation has {polygon!r} among its polygons; correct it, or leave it out")
        values = numbers(polygon, "segmentation", where)
        is_odd |= len(values) % 2 == 1
        points = list(zip(values[0::2], values[1::2], strict=False))
        clamped = [(clamp(px, width), clamp(py, height)) for px, py in points]
        leaves |= clamped != points
        if has_area(clamped):
            rings.append([value for point in clamped for value in point])
    if is_odd:
        note("segmentation", "polygon with an odd number of coordinates")
    if leaves:
        note("segmentation", "polygon leaves the image")
    if len(rings) > 1:
        note("segmentation", "polygon in several pieces: the box stands in", "noted")
    elif not rings:
        note("segmentation", "polygon unsound")
    return rings[0] if len(rings) == 1 else None
