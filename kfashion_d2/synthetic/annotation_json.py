"""This module writes annotations as K-Fashion's files hold them: keys, nesting, number format, random key order."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from kfashion_d2.schema import AttributeSchema

from .labels import NONE, Garment

PART_ORDER = ("outer", "bottom", "dress", "top")
_MIN_SIDE, _MIN_AREA, _STEP = 9, 0.006, 16.0


def outline_polygon(visible: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """
    Return the polygon that an annotator clicks around the visible part of a garment.

    Args:
        visible: bool (H, W).
        rng: for the hand's tremble, about a third of a pixel.

    Returns:
        float (n, 2) in picture coordinates (a pixel's centre is at .5), about 15 to 60 points, or None where too
        little is to be seen.
    """
    contours, _ = cv2.findContours(visible.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    contour = max(contours, key=cv2.contourArea)
    _, _, width, height = cv2.boundingRect(contour)
    if min(width, height) < _MIN_SIDE or cv2.contourArea(contour) < _MIN_AREA * visible.size:
        return None
    points = cv2.approxPolyDP(contour, 0.9, True)[:, 0].astype(np.float64)
    # The contour runs through the centres of the outermost pixels: half a pixel outward is the cloth's edge.
    outward = np.sign(points - (points.min(axis=0) + points.max(axis=0)) / 2) * 0.5
    points = _with_steps(points + 0.5 + outward * 0.8)
    points += rng.uniform(-0.3, 0.3, points.shape)
    return np.clip(points, 0.0, (visible.shape[1], visible.shape[0]))


def _with_steps(points: np.ndarray) -> np.ndarray:
    """Return the same ring with clicks at most _STEP pixels apart on its long straight edges."""
    ahead = np.roll(points, -1, axis=0)
    counts = np.maximum(np.hypot(*(ahead - points).T) // _STEP, 1).astype(int)
    start = np.repeat(np.arange(len(points)), counts)
    fraction = (np.arange(len(start)) - np.repeat(np.cumsum(counts) - counts, counts)) / np.repeat(counts, counts)
    return points[start] + (ahead - points)[start] * fraction[:, None]


def _number(value: float) -> float:
    """Round to six significant digits, as in the real files."""
    return float(f"{value:.6g}")


def rect_of(polygon: np.ndarray) -> dict[str, float | int]:
    """
    Return the rect that the real data derives from a polygon: half a pixel up and left, width and height truncated.
    """
    x, y = polygon.min(axis=0)
    width, height = polygon.max(axis=0) - (x, y)
    return {"X좌표": _number(x - 0.5), "Y좌표": _number(y - 0.5), "가로": int(width), "세로": int(height)}


def shuffled(rng: np.random.Generator, entry: dict) -> dict:
    """Return the same dict with its keys in another order."""
    keys = list(entry)
    return {keys[i]: entry[keys[i]] for i in rng.permutation(len(keys))}


def polygon_entry(polygon: np.ndarray) -> dict[str, float]:
    """Turn a polygon into the flat dict X좌표1, Y좌표1, X좌표2 ..."""
    entry = {}
    for i, (x, y) in enumerate(polygon.tolist(), 1):
        entry[f"X좌표{i}"], entry[f"Y좌표{i}"] = x, y
    return entry


def polygon_points(entry: dict[str, float]) -> np.ndarray:
    """Return the points, float (n, 2), of a dict that :func:`polygon_entry` makes."""
    return np.array([(entry[f"X좌표{i}"], entry[f"Y좌표{i}"]) for i in range(1, len(entry) // 2 + 1)])


def label_entry(garment: Garment, schema: AttributeSchema) -> dict[str, Any]:
    """Write a garment's labels in Korean. What is none, hidden or not applicable has no key."""
    part = schema.parts.labels[schema.parts.index(garment.part)].name
    entry: dict[str, Any] = {
        schema.keys["category"]: schema.categories.labels[schema.categories.index(garment.category)].korean
    }
    for group in schema.groups:
        value = getattr(garment, group.name)
        if part not in group.part_labels or group.name in garment.hidden or not value or value == NONE:
            continue
        if group.is_single:
            entry[group.korean] = group.labels[group.index_of.index(value)].korean
        else:
            entry[group.korean] = [group.labels[group.index_of.index(name)].korean for name in value]
    return entry


def build_annotation(
    *,
    image_id: int,
    size: tuple[int, int],
    file_name: str,
    created: str,
    styles: list[str],
    garments: list[tuple[Garment, np.ndarray]],
    schema: AttributeSchema,
) -> dict[str, Any]:
    """
    Build one annotation file's content, clean and in a fixed order of keys.

    Args:
        image_id, file_name, created: of the picture; `file_name` is its original name, not that on the disk.
        size: the picture's (height, width).
        styles: Korean style and sub style; fewer where unknown.
        garments: each with its polygon, float (n, 2).
        schema: the vocabulary.
    """
    korean = {label.name: label.korean for label in schema.parts.labels}
    tables: dict[str, dict[str, list[dict]]] = {
        key: {korean[part]: [{}] for part in PART_ORDER} for key in ("렉트좌표", "폴리곤좌표")
    }
    labels: dict[str, list[dict]] = {"스타일": [dict(zip(("스타일", "서브스타일"), styles, strict=False))]}
    labels |= {korean[part]: [{}] for part in PART_ORDER}
    for garment, polygon in garments:
        polygon = np.array([[_number(x), _number(y)] for x, y in polygon.tolist()])
        part = korean[garment.part]
        tables["렉트좌표"][part] = [rect_of(polygon)]
        tables["폴리곤좌표"][part] = [polygon_entry(polygon)]
        labels[part] = [label_entry(garment, schema)]
    return {
        "이미지 정보": {
            "이미지 식별자": image_id,
            "이미지 높이": size[0],
            "이미지 파일명": file_name,
            "이미지 너비": size[1],
        },
        "데이터셋 정보": {
            "파일 생성일자": created,
            "데이터셋 상세설명": {**tables, "라벨링": labels},
            "파일 번호": image_id,
            "파일 이름": file_name,
        },
    }


def shuffle_keys(annotation: dict[str, Any], rng: np.random.Generator) -> None:
    """Put the keys of every rect, polygon and garment's labels in random order, in place."""
    details = annotation["데이터셋 정보"]["데이터셋 상세설명"]
    for table in details.values():
        for entries in table.values():
            entries[:] = [shuffled(rng, entry) for entry in entries]
