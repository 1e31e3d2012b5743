"""
This module draws what tells a garment's category, and its details: seams, buttons, pockets, zippers, quilting, pleats
...
"""

from __future__ import annotations

import numpy as np

from .canvas import tone
from .cloth import Cloth
from .figure import HIP_Y, SIDES, WAIST_Y, Shape, mirrored, widths_at
from .labels import Garment
from .necks import opening_bottom

_THREAD = (236, 164, 60)
_METAL = (206, 208, 212)


def _buttons(cloth: Cloth, x: float, start: float, end: float, step: float = 0.045, radius: float = 0.011) -> None:
    for y in np.arange(start, end - 0.01, step):
        cloth.disc(x, y, radius + 0.003, cloth.seam)
        cloth.disc(x, y, radius, (240, 236, 224) if np.mean(cloth.main) < 190 else (60, 50, 46))


def _pocket(cloth: Cloth, x: float, y: float, width: float, height: float) -> None:
    box = [
        (x - width, y),
        (x + width, y),
        (x + width, y + height * 0.8),
        (x, y + height),
        (x - width, y + height * 0.8),
    ]
    cloth.patch(box, tone(cloth.main, 0.16))
    cloth.line([(x - width, y + 0.012), (x + width, y + 0.012)])


def _edge_x(cloth: Cloth, y: float) -> float:
    """Return where an open outer's front edge is at height y."""
    gap = cloth.shape.gap
    if gap is None:
        return 0.0
    right = gap[: len(gap) // 2]
    return float(np.interp(y, right[:, 1], right[:, 0]))


def _front_line(cloth: Cloth, inset: float, start: float = 0.2) -> np.ndarray:
    y = np.linspace(start, cloth.shape.hem, 12)
    return np.stack([[_edge_x(cloth, t) + inset for t in y], y], axis=1)


def _mark_blouse(cloth: Cloth) -> None:
    y = np.linspace(opening_bottom(cloth.garment), cloth.shape.hem, 26)
    for side in SIDES:
        wave = side * 0.026 + 0.011 * np.sin(np.arange(26) * 1.9 + side)
        cloth.line(np.stack([wave, y], 1), tone(cloth.main, 0.5), 0.012)


def _mark_shirt(cloth: Cloth) -> None:
    start = opening_bottom(cloth.garment)
    cloth.patch(
        [(-0.019, start), (0.019, start), (0.019, cloth.shape.hem + 0.01), (-0.019, cloth.shape.hem + 0.01)], cloth.main
    )
    _buttons(cloth, 0.0, start + 0.025, cloth.shape.hem, 0.045)
    _pocket(cloth, 0.078, 0.285, 0.034, 0.058)


def _mark_knitwear(cloth: Cloth) -> None:
    y = np.linspace(0.19, cloth.shape.hem, 30)
    for x in (0.0,) if cloth.garment.inside else (-0.07, 0.0, 0.07):
        for phase in (0, np.pi):
            cloth.line(np.stack([x + 0.016 * np.sin(y * 95 + phase), y], 1), tone(cloth.main, 0.46), 0.009)


def _mark_bra_top(cloth: Cloth) -> None:
    for side in SIDES:
        angle = np.deg2rad(np.linspace(10, 170, 9))
        cloth.line(
            np.stack([side * 0.062 + 0.058 * np.cos(angle), 0.262 + 0.04 * np.sin(angle)], 1),
            tone(cloth.main, 0.4),
            0.007,
        )


def _mark_hoodie(cloth: Cloth) -> None:
    y = min(cloth.shape.hem - 0.085, 0.385)
    if cloth.garment.length == "crop":
        y = 0.275
    cloth.patch(
        [(-0.05, y), (0.05, y), (0.092, y + 0.04), (0.092, y + 0.075), (-0.092, y + 0.075), (-0.092, y + 0.04)],
        tone(cloth.main, 0.18),
    )
    for side in SIDES:
        cloth.line([(side * 0.024, 0.22), (side * 0.03, 0.30)], (246, 246, 240), 0.009)


def _leg_middle(cloth: Cloth, y) -> np.ndarray:
    t = (np.asarray(y) - HIP_Y) / max(cloth.shape.hem - HIP_Y, 1e-6)
    half = np.interp(t, (0, 0.6, 1), cloth.shape.leg_half)
    inner = np.maximum(cloth.canvas.pose.leg_x(y) - half, 0.006 + 0.012 * np.clip(t, 0, 1))
    return inner + half


def _leg_side(cloth: Cloth, inset: float) -> np.ndarray:
    y = np.linspace(WAIST_Y + 0.03, cloth.shape.hem, 12)
    t = (y - HIP_Y) / (cloth.shape.hem - HIP_Y)
    half = np.interp(t, (0, 0.6, 1), cloth.shape.leg_half)
    hip = widths_at(cloth.shape.levels, y)
    return np.stack([np.where(t < 0, hip, _leg_middle(cloth, y) + half) - inset, y], axis=1)


def _mark_jeans(cloth: Cloth) -> None:
    for side in SIDES:
        line = _leg_side(cloth, 0.016)
        cloth.line(line if side > 0 else mirrored(line), _THREAD, 0.007)
        arc = np.array([(0.05, 0.43), (0.06, 0.462), (0.085, 0.475), (0.12, 0.478)])
        cloth.line(arc if side > 0 else mirrored(arc), _THREAD, 0.008)
        y = min(cloth.shape.hem - 0.05, 0.64)
        x = side * float(_leg_middle(cloth, y))
        fade = tuple(np.add(np.multiply(cloth.main, 0.55), 112).clip(0, 255))
        cloth.canvas.fill(cloth.layer, [(x - 0.022, 0.53), (x + 0.022, 0.53), (x + 0.018, y), (x - 0.018, y)], fade)
    cloth.line([(0.0, WAIST_Y + 0.02), (0.018, 0.5), (0.0, 0.535)], _THREAD, 0.008)
    cloth.disc(0.0, WAIST_Y + 0.012, 0.012, _THREAD)
    for leg in cloth.shape.legs:
        half = len(leg) // 2
        cloth.line([leg[half - 1] - (0, 0.022), leg[half] - (0, 0.022)], _THREAD, 0.008)


def _mark_pants(cloth: Cloth) -> None:
    y = np.linspace(0.47, cloth.shape.hem, 8)
    crease = np.stack([_leg_middle(cloth, y), y], axis=1)
    for side in SIDES:
        cloth.line(crease if side > 0 else mirrored(crease), None, 0.009)
        cloth.line([(side * 0.07, 0.43), (side * 0.118, 0.485)], None, 0.010)
        cloth.line([(side * 0.05, WAIST_Y - 0.01), (side * 0.05, WAIST_Y + 0.026)], None, 0.010)


def _mark_leggings(cloth: Cloth) -> None:
    cloth.patch(cloth.shape.band(WAIST_Y - 0.005, WAIST_Y + 0.05))
    for side in SIDES:
        line = _leg_side(cloth, 0.018)
        cloth.line(
            line if side > 0 else mirrored(line), (244, 244, 244) if np.mean(cloth.main) < 170 else (40, 40, 46), 0.013
        )


def _mark_jogger_pants(cloth: Cloth) -> None:
    for side in SIDES:
        cloth.line(
            [(side * 0.006, WAIST_Y + 0.018), (side * 0.026, WAIST_Y + 0.10)],
            (246, 246, 240) if np.mean(cloth.main) < 190 else (50, 46, 46),
            0.011,
        )
    for x in np.linspace(-0.09, 0.09, 8):
        cloth.line([(x, WAIST_Y), (x, WAIST_Y + 0.024)], None, 0.006)
    for leg in cloth.shape.legs:
        half = len(leg) // 2
        a, b = leg[half - 1], leg[half]
        for t in np.linspace(0.1, 0.9, 4):
            p = a + (b - a) * t
            cloth.line([p, p - (0, 0.036)], None, 0.006)


def _mark_coat(cloth: Cloth) -> None:
    start, step = (0.33, 0.07) if cloth.shape.hem > 0.45 else (0.285, 0.05)
    for y in np.arange(start, min(cloth.shape.hem - 0.02, 0.58), step):
        for x in (_edge_x(cloth, y) + 0.028, _edge_x(cloth, y) + 0.078):
            for side in SIDES:
                cloth.disc(side * x, y, 0.019, cloth.seam)
                cloth.disc(side * x, y, 0.014, (236, 200, 112))


def _mark_jacket(cloth: Cloth) -> None:
    y = max(min(cloth.shape.hem - 0.075, 0.43), 0.295)
    for side in SIDES:
        x = side * (_edge_x(cloth, y) + 0.058)
        cloth.patch(
            [(x - 0.042, y), (x + 0.042, y), (x + 0.042, y + 0.026), (x - 0.042, y + 0.026)], tone(cloth.main, 0.3)
        )
    _buttons(cloth, _edge_x(cloth, 0.35) + 0.016, 0.31, min(cloth.shape.hem, 0.52), 0.06, 0.012)


def _zip(cloth: Cloth) -> None:
    for side in SIDES:
        line = _front_line(cloth, 0.010)
        cloth.line(line if side > 0 else mirrored(line), (40, 40, 44), 0.021)
        for x, y in np.stack(
            [
                np.interp(np.arange(0.2, cloth.shape.hem, 0.016), line[:, 1], line[:, 0]),
                np.arange(0.2, cloth.shape.hem, 0.016),
            ],
            1,
        ):
            cloth.disc(side * x, y, 0.006, _METAL)


def _mark_jumper(cloth: Cloth) -> None:
    _zip(cloth)
    height = 0.042
    cloth.patch(cloth.shape.band(cloth.shape.hem - height, cloth.shape.hem + 0.012))
    for x in np.arange(-0.28, 0.281, 0.022):
        cloth.line([(x, cloth.shape.hem - height), (x, cloth.shape.hem + 0.015)], None, 0.007)
    y = max(min(cloth.shape.hem - 0.15, 0.40), 0.28)
    for side in SIDES:
        x = side * (_edge_x(cloth, y) + 0.05)
        cloth.line([(x, y + 0.05), (x + side * 0.028, y)], None, 0.014)


def _mark_padded_jacket(cloth: Cloth) -> None:
    for y in np.arange(0.245, cloth.shape.hem, 0.052):
        x = np.linspace(-0.34, 0.34, 21)
        drop = 0.01 * np.abs(np.sin(x * 30))
        cloth.line(np.stack([x, y + drop], 1), None, 0.011)
        cloth.line(np.stack([x, y + drop + 0.015], 1), tuple(np.add(np.multiply(cloth.main, 0.7), 76)), 0.008)


def _mark_vest(cloth: Cloth) -> None:
    _buttons(cloth, -_edge_x(cloth, 0.35) - 0.02, 0.30, min(cloth.shape.hem, 0.55), 0.05, 0.011)
    y = max(min(cloth.shape.hem - 0.08, 0.40), 0.29)
    for side in SIDES:
        x = side * (_edge_x(cloth, y) + 0.052)
        _pocket(cloth, x, y, 0.032, 0.055)


def _mark_cardigan(cloth: Cloth) -> None:
    for side in SIDES:
        line = _front_line(cloth, 0.018)
        cloth.line(line if side > 0 else mirrored(line), tone(cloth.main, 0.28), 0.034)
        inner = _front_line(cloth, 0.037)
        cloth.line(inner if side > 0 else mirrored(inner), None, 0.007)
    for y in np.arange(0.28, cloth.shape.hem - 0.02, 0.055):
        x = _edge_x(cloth, y) + 0.018
        cloth.disc(x, y, 0.014, cloth.seam)
        cloth.disc(x, y, 0.010, (245, 240, 226) if np.mean(cloth.main) < 190 else (70, 54, 46))


def _mark_zip_up(cloth: Cloth) -> None:
    _zip(cloth)
    y = max(min(cloth.shape.hem - 0.10, 0.40), 0.27)
    for side in SIDES:
        x = _edge_x(cloth, y) + 0.024
        pocket = np.array([(x, y), (x + 0.05, y), (x + 0.085, y + 0.045), (x + 0.085, y + 0.08), (x, y + 0.08)])
        cloth.patch(pocket if side > 0 else mirrored(pocket), tone(cloth.main, 0.18))


_MARKS = {
    "blouse": _mark_blouse,
    "shirt": _mark_shirt,
    "knitwear": _mark_knitwear,
    "bra top": _mark_bra_top,
    "hoodie": _mark_hoodie,
    "jeans": _mark_jeans,
    "pants": _mark_pants,
    "leggings": _mark_leggings,
    "jogger pants": _mark_jogger_pants,
    "coat": _mark_coat,
    "jacket": _mark_jacket,
    "jumper": _mark_jumper,
    "padded jacket": _mark_padded_jacket,
    "vest": _mark_vest,
    "cardigan": _mark_cardigan,
    "zip-up": _mark_zip_up,
}


def paint_mark(cloth: Cloth) -> None:
    """
    Paint the mark of the garment's category; tops, t-shirts, skirts, dresses and jumpsuits tell by shape and print.
    """
    if cloth.garment.category in _MARKS:
        _MARKS[cloth.garment.category](cloth)


def cut_details(shape: Shape, garment: Garment) -> None:
    """Cut the details that are openings in the cloth."""
    if "slit" in garment.detail:
        x = 0.06
        cut = np.array([(x, shape.hem + 0.03), (x + 0.01, shape.hem - 0.14), (x + 0.05, shape.hem + 0.03)])
        shape.cuts.append(cut)
        shape.edges.append(cut)
    if "cut-out" in garment.detail:
        angle = np.deg2rad(np.linspace(0, 360, 16))
        for side in SIDES:
            cut = np.stack([side * 0.07 + 0.03 * np.cos(angle), 0.365 + 0.024 * np.sin(angle)], 1)
            shape.cuts.append(cut)
            shape.edges.append(cut)


def paint_details(cloth: Cloth) -> None:
    """Paint the details that come on top of the category's own."""
    garment, shape = cloth.garment, cloth.shape
    details = set(garment.detail)
    strong = cloth.sub or tone(cloth.main, 0.45)
    waist = 0.418 if garment.part == "dress" else WAIST_Y + 0.012
    if "pleats" in details:
        for t in np.linspace(-0.85, 0.85, 9):
            top, low = float(widths_at(shape.levels, waist + 0.03)), float(widths_at(shape.levels, shape.hem))
            cloth.line([(t * top, waist + 0.02), (t * low, shape.hem + 0.02)], None, 0.007)
    if "ruffle" in details and garment.category != "blouse":
        for row in (0.0, 0.022):
            half = float(widths_at(shape.levels, shape.hem - 0.055))
            x = np.linspace(-half, half, 33)
            cloth.line(np.stack([x, shape.hem - 0.06 + row + 0.009 * np.sin(x * 130)], 1), None, 0.009)
    if "fringe" in details:
        half = float(widths_at(shape.levels, shape.hem))
        for x in np.arange(-half, half, 0.018):
            cloth.line([(x, shape.hem - 0.055), (x, shape.hem + 0.02)], None, 0.008)
    if "studs" in details:
        y = shape.top + 0.09 if garment.part != "bottom" else WAIST_Y + 0.05
        for x in np.arange(-0.13, 0.14, 0.026):
            cloth.disc(x, y, 0.009, _METAL)
    if "sash" in details:
        band = shape.band(waist - 0.016, waist + 0.016)
        cloth.patch(band, strong)
        cloth.patch([(0.05, waist), (0.085, waist), (0.095, waist + 0.12), (0.06, waist + 0.12)], strong)
