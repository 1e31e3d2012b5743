"""
This module reads boxes and polygons of one garment as a file has them, faults included. Pure Python; pixels, as floats.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from ...schema import normalize_text
from .labels import find_value

__all__ = ["TEXT_NUMBERS", "Geometry", "as_number", "resolve_geometry"]

MIN_IOU = 0.8  # of the rect and the polygon's bounds: below it the polygon is not the rect's
LIMIT = 1e7  # pixels; what lies further out is no coordinate
MIN_WIDTH = 1e-6  # pixels; thinner than that is a line, and what rounding makes of it
TEXT_NUMBERS = "numbers as text"
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?")
_POINT_KEY = re.compile(r"([XY])좌표([0-9]{1,6})")

Box = tuple[float, float, float, float]  # x0, y0, x1, y1


class Geometry(NamedTuple):
    """
    These are a garment's box and polygon, and what had to be done to get them.

    Attributes:
        bbox: [x, y, width, height] inside the image, or None where the garment has no geometry at all.
        polygon: [x1, y1, x2, y2, ...] when it is sound, else None.
        notes: (key, reason, action, value) of everything that was not as it should be.
        rect_iou: of the rect, as far as it lies inside the image, and the polygon's bounds; NaN without both.
        rect_outside: by how many pixels the rect leaves the image, on the side where it is most; NaN without a rect.
    """

    bbox: list[float] | None
    polygon: list[float] | None
    notes: list[tuple[str, str, str, Any]]
    rect_iou: float
    rect_outside: float


def as_number(value: Any) -> float | None:
    """
    Return a finite coordinate as a float, or None: booleans, other text than a number, NaN, infinities and absurd
    numbers are none.
    """
    if type(value) in (float, int):
        return float(value) if -LIMIT < value < LIMIT else None
    return as_number(float(value)) if isinstance(value, str) and _NUMBER.fullmatch(value.strip()) else None


def read_points(entry: dict[str, Any]) -> tuple[list[tuple[float, float]], bool]:
    """
    Return the points of ``{"X좌표1": .., "Y좌표1": .., ...}`` in the order of their numbers, whatever the keys' order.

    Returns:
        The points, and whether any key or coordinate had to be left out.
    """
    axes: dict[str, dict[int, float | None]] = {"X": {}, "Y": {}}
    complete = True
    for key, value in entry.items():
        match = _POINT_KEY.fullmatch(key) or _POINT_KEY.fullmatch(normalize_text(key).upper())
        if match:
            axes[match[1]][int(match[2])] = as_number(value)
        else:
            complete = False
    xs, ys = axes["X"], axes["Y"]
    points = []
    for number in sorted(xs.keys() | ys.keys()):
        x, y = xs.get(number), ys.get(number)
        if x is None or y is None:
            complete = False
        else:
            points.append((x, y))
    return points, complete


def read_rect(entry: dict[str, Any]) -> tuple[Box | None, str]:
    """Return ``{"X좌표", "Y좌표", "가로", "세로"}`` as corners; or None, and what is wrong with it."""
    x, y = as_number(find_value(entry, "X좌표")), as_number(find_value(entry, "Y좌표"))
    width, height = as_number(find_value(entry, "가로")), as_number(find_value(entry, "세로"))
    if x is None or y is None or width is None or height is None:
        return None, "rect incomplete"
    if width <= 0 or height <= 0:
        return None, "rect without area"
    return (x, y, x + width, y + height), ""


def clamp(value: float, high: float) -> float:
    return 0.0 if value < 0 else float(high) if value > high else value


def clip_box(box: Box, width: int, height: int) -> Box | None:
    """Return the part of a box that is inside the image, or None."""
    x0, y0, x1, y1 = clamp(box[0], width), clamp(box[1], height), clamp(box[2], width), clamp(box[3], height)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def iou(a: Box, b: Box) -> float:
    """Compute the intersection over union of two boxes that have an area."""
    shared_width = min(a[2], b[2]) - max(a[0], b[0])
    shared_height = min(a[3], b[3]) - max(a[1], b[1])
    if shared_width <= 0 or shared_height <= 0:
        return 0.0
    shared = shared_width * shared_height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def has_area(points: list[tuple[float, float]]) -> bool:
    """
    Say whether the points do not all lie on one line. (The signed area would not do: it is 0 for a ring that crosses
    itself in the middle, and rounding keeps it from being 0 for a line.)
    """
    if len(points) < 3:
        return False
    x0, y0 = points[0]
    offsets = [(x - x0, y - y0) for x, y in points]
    dx, dy = max(offsets, key=lambda offset: abs(offset[0]) + abs(offset[1]))
    length = math.hypot(dx, dy)
    return length > 0 and max(abs(dx * y - dy * x) for x, y in offsets) / length > MIN_WIDTH


def resolve_geometry(rect: dict[str, Any], polygon: dict[str, Any], width: int, height: int) -> Geometry:
    """
    Apply the box rule: the box is the polygon's bounds when the polygon is sound and agrees with the rect, or there is
    no rect; else it is the rect.

    A polygon is sound with three or more points that are not on one line, after its points were clamped to the image.

    Args:
        rect, polygon: the entries of the file, `{}` where there is none.
        width, height: of the image.
    """
    notes: list[tuple[str, str, str, Any]] = []

    def note(key: str, reason: str, action: str = "repaired", value: Any = None) -> None:
        notes.append((key, reason, action, value))

    for key, entry in (("렉트좌표", rect), ("폴리곤좌표", polygon)):
        if str in map(type, entry.values()):
            texts = [value for value in entry.values() if isinstance(value, str) and as_number(value) is not None]
            if texts:
                note(key, TEXT_NUMBERS, "noted", texts[0])
    points, complete = read_points(polygon)
    if not complete:
        note("폴리곤좌표", "polygon point incomplete")
    # The labelling tool's undo leaves these behind.
    end = len(points)
    while end and points[end - 1] == (0.0, 0.0):
        end -= 1
    if end < len(points):
        note("폴리곤좌표", "stray (0, 0) at the polygon's end", value=len(points) - end)
        del points[end:]
    clamped = [(clamp(x, width), clamp(y, height)) for x, y in points]
    if clamped != points:
        note("폴리곤좌표", "polygon leaves the image")
    bounds = None
    if has_area(clamped):
        xs, ys = [x for x, _ in clamped], [y for _, y in clamped]
        bounds = (min(xs), min(ys), max(xs), max(ys))
    elif polygon:
        note("폴리곤좌표", "polygon unsound")
    else:
        note("폴리곤좌표", "no polygon", "noted")

    raw, fault = read_rect(rect)
    clipped = clip_box(raw, width, height) if raw else None
    outside = max(-raw[0], -raw[1], raw[2] - width, raw[3] - height, 0.0) if raw else math.nan
    if not rect:
        note("렉트좌표", "no rect", "noted")
    elif raw is None:
        note("렉트좌표", fault)
    elif clipped is None:
        note("렉트좌표", "rect outside the image")

    agreement = iou(bounds, clipped) if bounds and clipped else math.nan
    if agreement < MIN_IOU:
        note("폴리곤좌표", "polygon and rect disagree")
        bounds = None
    box = bounds or clipped
    if box is None:
        return Geometry(None, None, notes, agreement, outside)
    if not bounds and clipped != raw:
        note("렉트좌표", "rect leaves the image")
    flat = [value for point in clamped for value in point] if bounds else None
    return Geometry([box[0], box[1], box[2] - box[0], box[3] - box[1]], flat, notes, agreement, outside)
