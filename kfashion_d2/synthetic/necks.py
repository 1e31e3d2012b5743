"""
This module draws necklines as cuts, hoods and high necks as cloth, collars as pieces laid on top. Figure units
throughout.
"""

from __future__ import annotations

import numpy as np

from .figure import SIDES, Piece, Shape, mirrored
from .labels import NONE, Garment

BUST_Y = 0.252
_FAR = 0.6


def _arc(center: tuple[float, float], rx: float, ry: float, start: float, end: float, n: int = 13) -> np.ndarray:
    """Return points of an ellipse; angles in degrees, 0 to the right, 90 down."""
    angle = np.deg2rad(np.linspace(start, end, n))
    return np.stack([center[0] + rx * np.cos(angle), center[1] + ry * np.sin(angle)], axis=1)


# The lower edge of every opening, from the picture's right to its left.
_OPENINGS = {
    "round neck": _arc((0, 0.172), 0.064, 0.066, 0, 180),
    "u-neck": np.concatenate([[(0.058, 0.172)], _arc((0, 0.262), 0.056, 0.056, 0, 180)[:], [(-0.058, 0.172)]]),
    "v-neck": np.array([(0.074, 0.172), (0.0, 0.322), (-0.074, 0.172)]),
    "square neck": np.array([(0.086, 0.172), (0.082, 0.268), (-0.082, 0.268), (-0.086, 0.172)]),
    "boat neck": _arc((0, 0.178), 0.132, 0.036, 0, 180),
    "collarless": np.concatenate(
        [
            _arc((0, 0.168), 0.048, 0.05, 0, 80, 6),
            [(0.008, 0.33), (-0.008, 0.33)],
            _arc((0, 0.168), 0.048, 0.05, 100, 180, 6),
        ]
    ),
    "hood": _arc((0, 0.165), 0.05, 0.062, 0, 180),
}
_HEART = np.concatenate(
    [_arc((0.058, 0.258), 0.056, 0.04, 0, -125, 9), [(0.0, 0.292)], _arc((-0.058, 0.258), 0.056, 0.04, -55, -180, 9)]
)


def _above(edge: np.ndarray) -> np.ndarray:
    """Return all that lies above a line that runs from right to left."""
    return np.concatenate([edge, [(edge[-1, 0], 0.0), (edge[0, 0], 0.0)]])


def _cut(shape: Shape, edge: np.ndarray) -> None:
    shape.cuts.append(_above(edge))
    shape.edges.append(edge)


def _cut_bare_shoulders(shape: Shape, garment: Garment) -> bool:
    """Cut the necklines that leave the shoulders bare; False if this is none of them."""
    wide = np.array([(_FAR, BUST_Y), (-_FAR, BUST_Y)])
    if garment.neckline == "off-shoulder":
        x = np.linspace(0.3, -0.3, 15)
        _cut(shape, np.stack([x, BUST_Y + 0.012 * (1 - (x / 0.16) ** 2).clip(-1)], axis=1))
        shape.bands.append(np.array([(-0.3, 0.235), (0.3, 0.235), (0.3, BUST_Y + 0.028), (-0.3, BUST_Y + 0.028)]))
    elif garment.neckline == "one-shoulder":
        _cut(shape, np.array([(_FAR, 0.315), (0.14, 0.295), (0.03, 0.25), (-0.045, 0.172)]))
    elif garment.neckline == "halter neck":
        for side in SIDES:
            edge = np.array([(_FAR, 0.30), (0.128, 0.292), (0.085, 0.262), (0.050, 0.21), (0.040, 0.15)])
            edge = edge if side > 0 else mirrored(edge)[::-1]
            _cut(shape, edge)
            # _above closes over the inner end, so the strap in the middle stays.
        _cut(shape, np.array([(0.018, 0.172), (0.006, 0.262), (-0.006, 0.262), (-0.018, 0.172)]))
    elif garment.sleeve_length == "no sleeve":
        inner = {
            "sweetheart": _HEART,
            "v-neck": np.array([(0.075, BUST_Y), (0.0, 0.335), (-0.075, BUST_Y)]),
            "u-neck": _arc((0, BUST_Y), 0.07, 0.062, 0, 180),
        }.get(garment.neckline or "")
        edge = wide if inner is None else np.concatenate([wide[:1], inner, wide[1:]])
        _cut(shape, edge)
    elif garment.neckline == "sweetheart":
        _cut(shape, np.concatenate([[(0.114, 0.172)], _HEART, [(-0.114, 0.172)]]))
    else:
        return False
    return True


def opening_width(garment: Garment) -> float:
    """Return the half width of the neck's opening at the shoulders, where a collar starts."""
    if garment.part == "outer":
        return 0.078
    widths = {"round neck": 0.058, "u-neck": 0.056, "v-neck": 0.070, "square neck": 0.084, "boat neck": 0.11}
    return widths.get(garment.neckline or "", 0.036)


def opening_bottom(garment: Garment) -> float:
    """Return the lowest point of the neck's opening."""
    bottoms = {"round neck": 0.238, "u-neck": 0.318, "v-neck": 0.322, "square neck": 0.268, "sweetheart": 0.292}
    return bottoms.get(garment.neckline or "", 0.195)


def add_neckline(shape: Shape, garment: Garment) -> None:
    """Cut the neck's opening of a top or a dress, or the open front of an outer, and add a hood or a high neck."""
    if garment.neckline == "hood":
        shape.fills.append(_arc((0, 0.118), 0.112, 0.136, 0, 360, 24))
        shape.top = -0.02
    if garment.part == "outer":
        shape.gap = front_gap(garment, shape.hem)
        half = len(shape.gap) // 2
        shape.edges += [shape.gap[:half], shape.gap[half:]]
        return
    if _cut_bare_shoulders(shape, garment):
        shape.top = BUST_Y
        return
    if garment.neckline in _OPENINGS:
        _cut(shape, _OPENINGS[garment.neckline])
    elif garment.neckline == "turtleneck":
        shape.fills.append(np.array([(-0.042, 0.128), (0.042, 0.128), (0.052, 0.2), (-0.052, 0.2)]))
        shape.seams += [_arc((0, 0.16), 0.046, 0.010, 0, 180, 7), _arc((0, 0.192), 0.052, 0.012, 0, 180, 7)]


def front_gap(garment: Garment, hem: float) -> np.ndarray:
    """Return what an open outer leaves free in front: its right edge downwards, then its left edge upwards."""
    knots = {
        "v-neck": ((0.13, 0.112), (0.19, 0.112), (0.36, 0.062)),
        "u-neck": ((0.13, 0.098), (0.29, 0.098), (0.325, 0.085), (0.35, 0.062)),
        "square neck": ((0.13, 0.106), (0.275, 0.106), (0.28, 0.062)),
        "round neck": ((0.13, 0.09), (0.20, 0.094), (0.235, 0.086), (0.255, 0.062)),
    }.get(garment.neckline or "", ((0.13, 0.062), (0.2, 0.062)))
    y, x = np.array([*knots, (0.5, 0.07), (1.0, 0.088)]).T
    rows = np.unique(np.concatenate([np.linspace(0.13, hem + 0.03, 18), y[y < hem]]))
    half = np.interp(rows, y, x)
    return np.concatenate([np.stack([half, rows], 1), np.stack([-half, rows], 1)[::-1]])


def _pair(points) -> list[Piece]:
    points = np.asarray(points, dtype=np.float64)
    return [Piece(points), Piece(mirrored(points))]


def bow(x: float, y: float, size: float) -> list[Piece]:
    """Return a ribbon's bow with two tails."""
    loop = np.array([(0.0, 0.0), (0.85, -0.5), (1.05, -0.1), (0.9, 0.45)]) * size
    tail = np.array([(0.0, 0.0), (0.5, 0.75), (0.62, 1.5), (0.22, 1.45)]) * size
    at = np.array([x, y])
    knot = _arc((x, y), size * 0.24, size * 0.28, 0, 360, 10)
    return [Piece(p + at) for p in (tail, mirrored(tail), loop, mirrored(loop))] + [Piece(knot, "seam")]


def collar_pieces(garment: Garment) -> list[Piece]:
    """Return the collar on top of the cloth; on an open outer it stands beside the front, not across it."""
    w = opening_width(garment)
    outer = garment.part == "outer"
    bottom = opening_bottom(garment)
    collar = garment.collar
    neck = 0.05 if outer else 0.03
    if collar == "shirt collar":
        inner = w if outer or garment.neckline != NONE else 0.004
        return _pair([(neck, 0.148), (w + 0.02, 0.172), (w + 0.064, 0.222), (w + 0.022, 0.282), (inner, 0.205)])
    if collar == "polo collar":
        wing = _pair(
            [(neck, 0.15), (w + 0.03, 0.178), (w + 0.046, 0.205), (w + 0.038, 0.226), (max(w - 0.03, 0.004), 0.216)]
        )
        x = w + 0.01 if outer else 0.0
        placket = [(x - 0.016, bottom), (x + 0.016, bottom), (x + 0.016, bottom + 0.105), (x - 0.016, bottom + 0.105)]
        dots = [Piece(_arc((x, bottom + d), 0.008, 0.008, 0, 360, 8), "seam") for d in (0.028, 0.056, 0.084)]
        return [Piece(np.array(placket)), *dots, *wing]
    if collar == "peter pan collar":
        lobe = np.concatenate([[(neck, 0.15)], _arc((w + 0.032, 0.222), 0.058, 0.054, -75, 190, 14)])
        return _pair(lobe)
    if collar == "sailor collar":
        flap = [(neck, 0.15), (w + 0.03, 0.172), (0.158, 0.208), (0.152, 0.305), (w + 0.012, 0.305)]
        inner = (w, 0.22) if outer else (0.006, max(bottom, 0.23) + 0.055)
        stripe = np.array([(0.136, 0.205), (0.132, 0.284), (w + 0.012, 0.284)])
        lines = [Piece(stripe, "line"), Piece(mirrored(stripe), "line")]
        return _pair([*flap, inner, (w, 0.19)]) + lines + ([] if outer else bow(0.0, inner[1], 0.038))
    if collar == "bow collar":
        if outer:
            return bow(-0.098, 0.235, 0.052) + bow(0.098, 0.235, 0.052)
        band = np.array([(-w - 0.006, 0.158), (w + 0.006, 0.158), (w + 0.012, 0.188), (-w - 0.012, 0.188)])
        strip = [Piece(band)] if garment.neckline == NONE else []
        return strip + bow(0.0, max(min(bottom, 0.30), 0.212), 0.082)
    if collar == "shawl collar":
        end = 0.40 if outer else max(bottom, 0.27) + 0.075
        x = 0.064 if outer else 0.004
        back = [
            (neck, 0.146),
            (w + 0.026, 0.172),
            (w + 0.062, 0.225),
            (w + 0.066, 0.275),
            (x + 0.03, end - 0.03),
            (x, end),
        ]
        return _pair([*back, (max(x, w - 0.012), 0.27 if outer else min(bottom, 0.24)), (w - 0.002, 0.19)])
    if collar == "tailored collar":
        end = 0.43 if outer else max(bottom, 0.28) + 0.085
        x = 0.064 if outer else 0.004
        upper = [(neck, 0.146), (w + 0.028, 0.170), (w + 0.076, 0.222), (w + 0.034, 0.238)]
        lower = [(w + 0.092, 0.252), (w + 0.060, 0.31), (x, end)]
        return _pair([*upper, *lower, (max(x, w - 0.02), 0.25 if outer else min(bottom, 0.24)), (w - 0.002, 0.19)])
    if collar == "mandarin collar":
        stand = _pair(
            [
                (neck, 0.138),
                (w + 0.016, 0.150),
                (w + 0.024, 0.198),
                (max(w - 0.028, 0.006), 0.205),
                (max(w - 0.04, 0.006), 0.15),
            ]
        )
        if outer:
            frogs = [np.array([(0.062, y), (0.125, y)]) for y in (0.25, 0.30, 0.35)]
            return stand + [Piece(p, "line") for f in frogs for p in (f, mirrored(f))]
        fall = np.array([(0.0, max(bottom, 0.2)), (0.05, max(bottom, 0.2) + 0.03), (0.10, 0.335), (0.125, 0.36)])
        knots = [Piece(_arc(tuple(fall[i]), 0.012, 0.012, 0, 360, 8), "seam") for i in (1, 2)]
        return [*stand, Piece(fall, "line"), *knots]
    if collar == "band collar":
        if outer:
            return _pair([(neck, 0.158), (w + 0.02, 0.164), (w + 0.026, 0.192), (w - 0.006, 0.196)]) + [
                Piece(_arc((side * (w + 0.008), y), 0.010, 0.010, 0, 360, 8), "seam")
                for side in SIDES[1:]
                for y in (0.25, 0.3, 0.35)
            ]
        ring = np.concatenate(
            [_arc((0, 0.158), w + 0.012, 0.018, 180, 0, 9), _arc((0, 0.172), w + 0.02, 0.03, 0, 180, 9)]
        )
        line = np.array([(0.0, bottom), (0.0, bottom + 0.14)])
        dots = [Piece(_arc((0.0, bottom + d), 0.009, 0.009, 0, 360, 8), "seam") for d in (0.03, 0.07, 0.11)]
        return ([Piece(ring)] if garment.neckline == NONE else _pair(ring[ring[:, 0] > w - 0.03])) + [
            Piece(line, "line"),
            *dots,
        ]
    return []
