"""
This module has patterns: tiles that repeat over the cloth, and the two that spread over it; 0 is the main colour, 1 the
second.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

_TILE = 24
_FINE = 4  # supersampling of a tile

# Side of one tile in figure units, and the turns that suit the print, in degrees.
_PERIOD = {
    "check": (0.075, (0, 45)),
    "stripe": (0.066, (0, 90, 45)),
    "zigzag": (0.085, (0,)),
    "leopard": (0.14, (0, 90)),
    "zebra": (0.15, (0, 90)),
    "dot": (0.09, (0, 45)),
    "camouflage": (0.26, (0, 90)),
    "houndstooth": (0.085, (0,)),
    "argyle": (0.12, (0,)),
    "gingham": (0.068, (0,)),
    "floral": (0.16, (0, 30)),
    "heart": (0.12, (0,)),
}
_HOUNDSTOOTH = np.array(
    [
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 1],
        [1, 1, 1, 1, 0, 0, 1, 0],
        [1, 1, 1, 1, 0, 1, 0, 0],
        [1, 0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0, 0],
    ],
    dtype=np.float32,
)


def _blobs(u: np.ndarray, v: np.ndarray, centers, size: float) -> np.ndarray:
    """Compute the distance to the nearest centre on the repeating tile, in units of `size`."""
    distance = np.full(u.shape, np.inf)
    for x, y in centers:
        du, dv = (u - x + 0.5) % 1 - 0.5, (v - y + 0.5) % 1 - 0.5
        distance = np.minimum(distance, np.hypot(du, dv))
    return distance / size


def _heart(u: np.ndarray, v: np.ndarray, x: float, y: float, size: float) -> np.ndarray:
    du, dv = ((u - x + 0.5) % 1 - 0.5) / size, ((v - y + 0.5) % 1 - 0.5) / size
    return (du**2 + (dv + 0.9 * np.sqrt(np.abs(du)) * 0.75 - 0.1) ** 2) < 0.62


def _flowers(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    result = np.zeros(u.shape)
    for x, y, size in ((0.27, 0.27, 0.21), (0.77, 0.74, 0.21)):
        du, dv = (u - x + 0.5) % 1 - 0.5, (v - y + 0.5) % 1 - 0.5
        radius, angle = np.hypot(du, dv) / size, np.arctan2(dv, du)
        petals = (radius < 0.62 + 0.38 * np.cos(5 * angle)) & (radius > 0.2)
        result = np.maximum(result, petals)
    return np.maximum(result, _blobs(u, v, [(0.78, 0.22), (0.24, 0.78)], 0.06) < 1)


def _pattern(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    turn = 2 * np.pi
    if name == "check":
        return np.maximum(u < 0.2, v < 0.2)
    if name == "stripe":
        return v < 0.36
    if name == "zigzag":
        return (v + 0.5 * np.abs(2 * u - 1)) % 1 < 0.34
    if name == "leopard":
        distance = _blobs(u, v, [(0.2, 0.25), (0.7, 0.1), (0.5, 0.6), (0.02, 0.72), (0.85, 0.55)], 0.16)
        angle = np.sin(3 * turn * u) + np.sin(2 * turn * v)
        return (distance < 1) & ((distance > 0.5) | (angle > 0.7))
    if name == "zebra":
        return np.sin(turn * (2 * v + 0.22 * np.sin(turn * u) + 0.12 * np.sin(2 * turn * u + 1))) > 0.35 + 0.2 * np.sin(
            turn * u
        )
    if name == "dot":
        return _blobs(u, v, [(0.25, 0.25), (0.75, 0.75)], 0.17) < 1
    if name == "camouflage":
        noise = (
            np.sin(turn * u + 2 * np.sin(turn * v))
            + np.sin(2 * turn * v + 1.7 * np.cos(turn * u))
            + 0.6 * np.sin(turn * (2 * u + v))
        )
        return np.where(noise > 0.9, 1.0, np.where(noise < -1.2, 0.45, 0.0))
    if name == "argyle":
        diamond = np.abs(u - 0.5) + np.abs(v - 0.5) < 0.34
        line = np.minimum(np.abs(u - v), np.abs(u + v - 1)) < 0.035
        return np.where(line, 1 - diamond, diamond)
    if name == "gingham":
        return 0.5 * (u < 0.42) + 0.5 * (v < 0.42)
    if name == "floral":
        return _flowers(u, v)
    return np.maximum(_heart(u, v, 0.25, 0.27, 0.27), _heart(u, v, 0.75, 0.77, 0.27))


@cache
def _tile(name: str) -> np.ndarray:
    """Draw one tile, anti-aliased; float32 (24, 24)."""
    if name == "houndstooth":
        return cv2.resize(_HOUNDSTOOTH, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST)
    size = _TILE * _FINE
    v, u = np.mgrid[0:size, 0:size] / size
    fine = np.asarray(_pattern(name, u, v), dtype=np.float32)
    return fine.reshape(_TILE, _FINE, _TILE, _FINE).mean(axis=(1, 3))


def print_alpha(
    name: str, rng: np.random.Generator, u: np.ndarray, v: np.ndarray, matrix: np.ndarray, span: tuple[float, float]
) -> np.ndarray | None:
    """
    Compute how much of the second colour a print puts on each pixel.

    Args:
        name: the print.
        rng: picks its turn and its phase.
        u, v: float32 (h, w), the pixels in figure units.
        matrix: float (2, 3), pixels to figure units.
        span: the garment's upper and lower end, in figure units.

    Returns:
        float32 (h, w) in 0..1, or None for a print that is no pattern (solid, graphic, lettering).
    """
    if name == "gradient":
        return np.clip(1.5 * (v - span[0]) / (span[1] - span[0]) - 0.6, 0, 1)
    if name == "tie-dye":
        x, y = rng.uniform(-0.05, 0.05), span[0] + rng.uniform(0.35, 0.65) * (span[1] - span[0])
        radius = np.hypot(u - x, v - y) + 0.012 * np.sin(7 * np.arctan2(v - y, u - x))
        return np.clip(0.3 + 0.9 * np.sin(radius * 2 * np.pi / 0.095), 0, 1)
    if name not in _PERIOD:
        return None
    period, turns = _PERIOD[name]
    angle = np.deg2rad(turns[int(rng.integers(len(turns)))])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * _TILE / period
    warp = np.column_stack([turn @ matrix[:, :2], turn @ matrix[:, 2] + rng.uniform(0, _TILE, 2)])
    size = (u.shape[1], u.shape[0])
    return cv2.warpAffine(
        _tile(name), warp, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP
    )
