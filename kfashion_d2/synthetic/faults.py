"""This module plants the faults of the real files at stated rates. Each function changes an annotation in place."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np

from kfashion_d2.schema import AttributeSchema

from .annotation_json import polygon_points, rect_of

NO_TIER_B_RATE, ALIAS_RATE = 0.05, 0.05
"""Chance of each garment to lack all tier-B labels, or to be spelled in an accepted other way."""

FAULT_RATE = 0.06
"""Chance of each picture to have one of FAULTS."""

_ALIASES = {
    "노멀": "노말",
    "하운즈투스": "하운즈\u00a0투스",
    "홀터넥": "홀토넥",
    "원숄더": "원 숄더",
    "테일러드칼라": "테일러칼라",
}
_UNHEARD_OF = {"색상": "무지개", "핏": "초슬림", "기장": "바닥", "카테고리": "우주복"}


def _garment_parts(details: dict) -> list[str]:
    return [part for part, entries in details["폴리곤좌표"].items() if entries[0]]


def _pick_part(details: dict, rng: np.random.Generator) -> str:
    parts = _garment_parts(details)
    return parts[int(rng.integers(len(parts)))]


def drop_tier_b(labels: dict[str, Any], schema: AttributeSchema) -> None:
    """Leave of a garment what the first labelling tier saw."""
    labels.pop(schema.keys["category"], None)
    for group in schema.groups:
        if group.tier == "B":
            labels.pop(group.korean, None)


def spell_otherwise(labels: dict[str, Any], rng: np.random.Generator) -> None:
    """Spell values by their aliases where there are some, else in decomposed Hangul; the collar under its other key."""
    for key, value in list(labels.items()):
        values = value if isinstance(value, list) else [value]
        values = [_ALIASES.get(v, v) for v in values]
        labels[key] = values if isinstance(value, list) else values[0]
    if "옷깃" in labels:
        labels["칼라"] = labels.pop("옷깃")
    key = list(labels)[int(rng.integers(len(labels)))]
    if isinstance(labels[key], str):
        labels[key] = unicodedata.normalize("NFD", labels[key])


def _rect_off(details: dict, rng: np.random.Generator) -> None:
    """Make a rect that is not the polygon's by the rule, but near it."""
    rect = details["렉트좌표"][_pick_part(details, rng)][0]
    rect["X좌표"] = float(f"{rect['X좌표'] + 1.5:.6g}")
    rect["세로"] += 2


def _rect_elsewhere(details: dict, rng: np.random.Generator) -> None:
    """Make a rect that disagrees with the polygon: IoU below 0.8."""
    rect = details["렉트좌표"][_pick_part(details, rng)][0]
    rect["가로"] = max(1, rect["가로"] * 2 // 3)


def _rect_empty(details: dict, rng: np.random.Generator) -> None:
    details["렉트좌표"][_pick_part(details, rng)][0]["가로"] = 0


def _rect_missing(details: dict, rng: np.random.Generator) -> None:
    details["렉트좌표"][_pick_part(details, rng)][0].clear()


def _polygon_missing(details: dict, rng: np.random.Generator) -> None:
    details["폴리곤좌표"][_pick_part(details, rng)][0].clear()


def _stray_ends(details: dict, rng: np.random.Generator) -> None:
    """End polygons as the labelling tool's undo does: with (0, 0)."""
    polygon = details["폴리곤좌표"][_pick_part(details, rng)][0]
    n = len(polygon) // 2
    for i in (n + 1, n + 2):
        polygon[f"X좌표{i}"] = polygon[f"Y좌표{i}"] = 0.0


def _leaves_picture(details: dict, height: int) -> None:
    """Click the point nearest to the picture's upper or lower edge beyond it; the rect follows the polygon."""
    points = [
        (min(value, height - value), part, key)
        for part in _garment_parts(details)
        for key, value in details["폴리곤좌표"][part][0].items()
        if key.startswith("Y")
    ]
    _, part, key = min(points)
    polygon = details["폴리곤좌표"][part][0]
    polygon[key] = -2.5 if polygon[key] < height / 2 else height + 2.5
    details["렉트좌표"][part] = [rect_of(polygon_points(polygon))]


def _partner_missing(details: dict, rng: np.random.Generator) -> None:
    polygon = details["폴리곤좌표"][_pick_part(details, rng)][0]
    del polygon[f"Y좌표{len(polygon) // 4}"]


def _labels_alone(details: dict, rng: np.random.Generator) -> None:
    part = _pick_part(details, rng)
    details["렉트좌표"][part] = [{}]
    details["폴리곤좌표"][part] = [{}]


def _unheard_of(details: dict, rng: np.random.Generator) -> None:
    labels = details["라벨링"][_pick_part(details, rng)][0]
    keys = [key for key in _UNHEARD_OF if key in labels]
    key = keys[int(rng.integers(len(keys)))]
    labels[key] = _UNHEARD_OF[key]


FAULTS: dict[str, Callable[[dict, np.random.Generator], None] | None] = {
    "rect_off": _rect_off,
    "rect_elsewhere": _rect_elsewhere,
    "rect_empty": _rect_empty,
    "rect_missing": _rect_missing,
    "polygon_missing": _polygon_missing,
    "stray_ends": _stray_ends,
    "partner_missing": _partner_missing,
    "labels_alone": _labels_alone,
    "unheard_of": _unheard_of,
    "leaves_picture": None,  # needs the picture's height
    "no_image": None,  # these two concern the files, not the annotation's content
    "truncated": None,
}


def plant(annotation: dict[str, Any], schema: AttributeSchema, rng: np.random.Generator) -> list[str]:
    """
    Plant faults at the stated rates.

    Returns:
        list[str]: names of what was planted: "no_tier_b" and "alias" once for each garment, at most one of FAULTS.
    """
    details = annotation["데이터셋 정보"]["데이터셋 상세설명"]
    planted = []
    for part in _garment_parts(details):
        labels = details["라벨링"][part][0]
        chance = rng.random()
        if chance < NO_TIER_B_RATE:
            drop_tier_b(labels, schema)
            planted.append("no_tier_b")
        elif chance < NO_TIER_B_RATE + ALIAS_RATE:
            spell_otherwise(labels, rng)
            planted.append("alias")
    if rng.random() < FAULT_RATE and _garment_parts(details):
        fault = list(FAULTS)[int(rng.integers(len(FAULTS)))]
        change = FAULTS[fault]
        if change is not None:
            change(details, rng)
        elif fault == "leaves_picture":
            _leaves_picture(details, annotation["이미지 정보"]["이미지 높이"])
        planted.append(fault)
    return planted
