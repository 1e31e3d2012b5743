"""
This module has a person and the outlines of what it wears, in figure units.

Figure units: x from the body's middle to the picture's right, y down; y = 0 is the top of the head, y = 1 the soles.
A `Pose` takes them to pixels. All outlines are float arrays (N, 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .labels import Garment

SIDES = (-1, 1)
BAND = 0.052
"""Height of the accent along a hem, at most; never more than a quarter of the garment."""
SHOULDER_Y, CHEST_Y, WAIST_Y, HIP_Y, CROTCH_Y = 0.205, 0.27, 0.405, 0.49, 0.56
_LEVELS = np.array([SHOULDER_Y, CHEST_Y, WAIST_Y, HIP_Y, 0.60, 0.75, 0.985])

# Half widths at _LEVELS.
BODY = (0.150, 0.128, 0.098, 0.128, 0.132, 0.12, 0.1)
_TOP = {
    "tight": (0.153, 0.133, 0.103, 0.133, 0.138, 0.14, 0.14),
    "regular": (0.155, 0.147, 0.138, 0.147, 0.152, 0.16, 0.16),
    "loose": (0.160, 0.165, 0.182, 0.203, 0.215, 0.23, 0.23),
    "oversized": (0.195, 0.212, 0.230, 0.245, 0.252, 0.26, 0.26),
}
_OUTER = {
    "tight": (0.164, 0.158, 0.146, 0.164, 0.168, 0.17, 0.18),
    "regular": (0.168, 0.174, 0.176, 0.184, 0.188, 0.20, 0.21),
    "loose": (0.174, 0.192, 0.212, 0.232, 0.244, 0.262, 0.28),
    "oversized": (0.208, 0.236, 0.258, 0.272, 0.280, 0.29, 0.30),
}
_DRESS = {
    "tight": (0.153, 0.133, 0.103, 0.135, 0.140, 0.132, 0.126),
    "regular": (0.155, 0.142, 0.118, 0.152, 0.172, 0.198, 0.23),
    "loose": (0.160, 0.165, 0.182, 0.205, 0.228, 0.255, 0.285),
    "oversized": (0.195, 0.222, 0.250, 0.270, 0.282, 0.295, 0.305),
}
_SLEEVE_END = {"cap sleeve": 0.17, "short sleeve": 0.40, "three-quarter sleeve": 0.74, "long sleeve": 0.99}
_SLEEVE_WIDTH = {
    "tight": (0.046, 0.036),
    "regular": (0.052, 0.048),
    "loose": (0.060, 0.068),
    "oversized": (0.070, 0.086),
}
# Half width of a trouser leg at its top, at six tenths and at its hem.
_LEG_WIDTH = {
    "skinny": (0.066, 0.050, 0.036),
    "tight": (0.066, 0.050, 0.038),
    "regular": (0.070, 0.060, 0.054),
    "loose": (0.078, 0.078, 0.072),
    "wide": (0.080, 0.098, 0.112),
    "oversized": (0.084, 0.104, 0.114),
    "bell-bottom": (0.066, 0.050, 0.106),
}
# Half width of a skirt's hem, and at six tenths of its height.
_SKIRT = {
    "skinny": (0.134, 0.118),
    "regular": (0.150, 0.168),
    "loose": (0.178, 0.215),
    "wide": (0.215, 0.290),
    "bell-bottom": (0.132, 0.235),
}


def widths_at(levels, y) -> np.ndarray:
    """Return half widths, given at the body's levels, at any y."""
    return np.interp(y, _LEVELS, levels)


@dataclass(frozen=True)
class Pose:
    """
    A pose says where the figure stands and how it holds itself.

    Attributes:
        matrix: float (2, 3), figure units to pixels.
        unit: pixels per figure unit, about the figure's height.
        arms: for the left and the right arm of the picture, angles of upper arm and forearm from the vertical, radians.
        spread: how far each ankle stands outward of its hip.
    """

    matrix: np.ndarray
    unit: float
    arms: tuple[tuple[float, float], tuple[float, float]]
    spread: float

    def to_pixels(self, points) -> np.ndarray:
        """Turn figure units (N, 2) into pixel-centre coordinates (N, 2)."""
        return np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def arm(self, side: int, start: float, end: float, width_start: float, width_end: float) -> np.ndarray:
        """Return the outline of a stretch of an arm: `start` and `end` from 0 (shoulder) to 1 (wrist), half widths."""
        upper, fore = self.arms[0 if side < 0 else 1]
        shoulder = np.array([side * 0.143, 0.222])
        elbow = shoulder + 0.15 * np.array([side * np.sin(upper), np.cos(upper)])
        wrist = elbow + 0.14 * np.array([side * np.sin(fore), np.cos(fore)])
        t = np.linspace(start, end, 7)
        beyond = wrist + 0.5 * (wrist - elbow)
        knots = np.stack([shoulder, elbow, wrist, beyond])
        path = np.stack([np.interp(t, (0, 0.52, 1, 1.24), knots[:, i]) for i in (0, 1)], axis=1)
        along = np.gradient(path, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
        half = np.linspace(width_start, width_end, len(t))[:, None]
        return np.concatenate([path + normal * half, (path - normal * half)[::-1]])

    def leg_x(self, y) -> np.ndarray:
        """Return the distance of a leg's middle from the body's middle at height y."""
        return 0.066 + self.spread * np.clip((np.asarray(y) - CROTCH_Y) / 0.4, 0, 1)


def sample_pose(rng: np.random.Generator, height: int, width: int) -> Pose:
    """Draw a standing person that fills the picture, its place, size, tilt, arms and legs varied a little."""
    unit = height * rng.uniform(0.93, 1.05)
    wide = rng.uniform(0.95, 1.06)
    angle = np.deg2rad(rng.uniform(-3, 3))
    cos, sin = np.cos(angle), np.sin(angle)
    linear = unit * np.array([[wide * cos, -sin], [wide * sin, cos]])
    middle = np.array([width * 0.5 + rng.uniform(-0.05, 0.05) * width, height * rng.uniform(0.985, 1.02) - unit * 0.5])
    offset = middle - linear @ np.array([0.0, 0.5])
    arms = tuple((rng.uniform(0.30, 0.62), rng.uniform(-0.05, 0.45)) for _ in SIDES)
    return Pose(np.column_stack([linear, offset]), unit, arms, rng.uniform(0.0, 0.025))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Piece:
    """
    A piece is laid on the cloth: an outline in the accent's colour ("accent") or the seams' ("seam"), or a "line".
    """

    points: np.ndarray
    kind: str = "accent"


@dataclass
class Shape:
    """
    A shape is a garment's geometry.

    Attributes:
        fills: outlines whose union the cloth covers.
        cuts: outlines taken out of it (bare shoulders, the neck's opening).
        gap: what an open outer leaves free in front; not cloth, but inside the outline that people draw.
        edges: open lines along cuts and gap.
        seams: open lines on the cloth.
        bands: accents on the cloth: hem, cuffs, waistband.
        levels: half widths of the trunk; `hem` its lower end; `top` its upper end.
        pieces: collar and bows, laid on the cloth and partly beyond it.
        legs: one outline for each leg; `leg_half`: half widths at its top, at six tenths and at its hem.
    """

    hem: float
    top: float
    levels: tuple[float, ...] = BODY
    fills: list[np.ndarray] = field(default_factory=list)
    cuts: list[np.ndarray] = field(default_factory=list)
    gap: np.ndarray | None = None
    edges: list[np.ndarray] = field(default_factory=list)
    seams: list[np.ndarray] = field(default_factory=list)
    bands: list[np.ndarray] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    legs: list[np.ndarray] = field(default_factory=list)
    leg_half: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def hem_band(self) -> float:
        """Return where the hem's accent begins."""
        return self.hem - min(BAND, 0.22 * (self.hem - self.top))

    def band(self, start: float, end: float) -> np.ndarray:
        """Return the trunk between two heights, as an outline."""
        return trunk(self.levels, start, end)


def trunk(levels, start: float, end: float, sag: float = 0.008) -> np.ndarray:
    """Return the outline of a trunk from height `start` to `end`; its hem sags a little in the middle."""
    y = np.linspace(start, end, 12)
    half = widths_at(levels, y)
    x = np.linspace(half[-1], -half[-1], 5)[1:-1]
    hem = np.stack([x, end + sag * (1 - (x / half[-1]) ** 2)], axis=1)
    return np.concatenate([np.stack([half, y], axis=1), hem, np.stack([-half, y], axis=1)[::-1]])


def mirrored(points) -> np.ndarray:
    """Return the same outline on the body's other side."""
    return np.asarray(points, dtype=np.float64) * (-1, 1)


def _leg(pose: Pose, side: int, start: float, end: float, half: tuple[float, float, float], puff: bool) -> np.ndarray:
    y = np.linspace(start, end, 10)
    t = np.linspace(0, 1, 10)
    width = np.interp(t, (0, 0.6, 1), half)
    if puff:  # joggers: full down to a narrow cuff
        width = np.interp(t, (0, 0.6, 0.86, 0.93, 1), (half[0], half[1], half[1], 0.042, 0.042))
    middle = pose.leg_x(y)
    inner = np.maximum(middle - width, 0.006 + 0.012 * t)
    outer = inner + 2 * width
    return np.concatenate([np.stack([side * outer, y], axis=1), np.stack([side * inner, y], axis=1)[::-1]])


def _add_legs(shape: Shape, garment: Garment, pose: Pose, start: float) -> None:
    half = _LEG_WIDTH[garment.fit]
    puff = garment.category == "jogger pants"
    shape.leg_half = half
    shape.legs = [_leg(pose, side, start, shape.hem, half, puff) for side in SIDES]
    shape.fills += shape.legs
    shape.bands += [_cut_band(leg, shape.hem_band) for leg in shape.legs]
    shape.seams.append(np.array([(0.0, WAIST_Y + 0.03), (0.0, CROTCH_Y + 0.02)]))


def _cut_band(leg: np.ndarray, y: float) -> np.ndarray:
    """Return the part of a leg's outline below `y`."""
    n = len(leg) // 2
    outer, inner = leg[:n], leg[n:][::-1]
    below = np.linspace(y, outer[-1, 1], 4)
    sides = [np.stack([np.interp(below, line[:, 1], line[:, 0]), below], axis=1) for line in (outer, inner)]
    return np.concatenate([sides[0], sides[1][::-1]])


def bottom_shape(garment: Garment, pose: Pose, hem: float) -> Shape:
    """Shape a skirt or trousers of the garment's length and fit."""
    if garment.category == "skirt":
        middle, end = _SKIRT[garment.fit]
        t = np.clip((hem - WAIST_Y) / 0.58, 0.45, 1.0)  # a mini flares over less height, so less far
        hip = 0.134
        y = WAIST_Y + (hem - WAIST_Y) * np.array([0.0, 0.3, 0.6, 1.0])
        half = (0.101, hip, hip + (middle - hip) * t**0.5, hip + (end - hip) * t**0.5)
        levels = tuple(np.interp(_LEVELS, y, half))
        shape = Shape(hem, WAIST_Y, levels)
        rows = np.linspace(WAIST_Y, hem, 12)
        width = np.interp(rows, y, half)
        x = np.linspace(width[-1], -width[-1], 7)[1:-1]
        foot = np.stack([x, hem + 0.012 * (1 - (x / width[-1]) ** 2)], axis=1)
        outline = np.concatenate([np.stack([width, rows], axis=1), foot, np.stack([-width, rows], axis=1)[::-1]])
        shape.fills.append(outline)
        edge = np.stack([np.linspace(-width[-1], width[-1], 9), np.zeros(9)], axis=1)
        drop = 0.012 * (1 - (edge[:, 0] / width[-1]) ** 2)
        low, high = (
            edge + np.stack([np.zeros(9), hem + drop], 1),
            edge + np.stack([np.zeros(9), shape.hem_band + drop], 1),
        )
        shape.bands.append(np.concatenate([low, high[::-1]]))
    else:
        shape = Shape(hem, WAIST_Y, (0.15, 0.13, 0.102, 0.134, 0.14, 0.14, 0.14))
        shape.fills.append(trunk(shape.levels, WAIST_Y, CROTCH_Y - 0.01))
        _add_legs(shape, garment, pose, HIP_Y)
    shape.bands.append(trunk((0.15, 0.13, 0.106, 0.2, 0.2, 0.2, 0.2), WAIST_Y - 0.005, WAIST_Y + 0.022, 0.0))
    return shape


def _add_sleeves(shape: Shape, garment: Garment, pose: Pose) -> None:
    """Add sleeves along the arms, with the seam where they are set in; a one-shoulder garment has one."""
    end = _SLEEVE_END.get(garment.sleeve_length or "", 0.0)
    if not end or "sleeve_length" in garment.hidden:
        return
    start_width, end_width = _SLEEVE_WIDTH[garment.fit]
    extra = 0.014 if garment.part == "outer" else 0.0
    if garment.sleeve_length == "cap sleeve":
        end_width = start_width + 0.014
    for side in SIDES[:1] if garment.neckline == "one-shoulder" else SIDES:
        final = start_width + (end_width - start_width) * end + extra
        shape.fills.append(pose.arm(side, 0.0, end, start_width + extra, final))
        shape.bands.append(pose.arm(side, max(end - 0.11, 0.02), end + 0.01, final + 0.01, final + 0.01))
        half = float(widths_at(shape.levels, CHEST_Y + 0.03))
        shape.seams.append(np.array([(side * 0.143, SHOULDER_Y), (side * (half - 0.006), CHEST_Y + 0.03)]))


def upper_shape(garment: Garment, pose: Pose, hem: float) -> Shape:
    """Shape the trunk, sleeves and skirt or legs of a top, an outer or a dress, before its neckline is cut."""
    levels = {"top": _TOP, "outer": _OUTER, "dress": _DRESS}[garment.part][garment.fit]
    if garment.category == "jumpsuit":
        levels = _TOP[garment.fit]
    if garment.inside:  # an outer goes over it
        levels = (*np.minimum(levels[:3], _TOP["regular"][:3]).tolist(), *levels[3:])
        if "fit" in garment.hidden:
            levels = _DRESS["regular"] if garment.part == "dress" else _TOP["tight"]
    if garment.category == "blouse":  # a flared hem
        levels = (*levels[:3], levels[3] + 0.02, levels[4] + 0.03, *levels[5:])
    if garment.sleeve_length == "no sleeve" or garment.neckline == "halter neck":
        levels = (min(levels[0], 0.15), *levels[1:])
    shape = Shape(hem, SHOULDER_Y, levels)
    inset = 0.028 if garment.sleeve_length == "sleeveless" else 0.0
    shoulder = max(levels[0] - inset, 0.09)
    legs = garment.category == "jumpsuit"
    end = CROTCH_Y - 0.01 if legs else hem
    body = trunk(levels, CHEST_Y, end)
    yoke = [(0.036, 0.172), (0.07, 0.180), (shoulder, SHOULDER_Y)]
    armhole = [(shoulder - 0.012 if inset else shoulder, 0.245)]
    right = np.array([*yoke, *armhole])
    shape.fills.append(np.concatenate([right, body, mirrored(right)[::-1]]))
    if legs:
        _add_legs(shape, garment, pose, HIP_Y)
    else:
        y = np.linspace(shape.hem_band, hem, 4)
        half = widths_at(levels, y)
        x = np.linspace(half[-1], -half[-1], 7)
        low = np.stack([x, hem + 0.008 * (1 - (x / half[-1]) ** 2)], axis=1)
        shape.bands.append(np.concatenate([np.stack([half, y], 1), low, np.stack([-half, y], 1)[::-1]]))
    _add_sleeves(shape, garment, pose)
    return shape
