"""
This module paints a garment's cloth: colour, pattern, material, folds. It is painted on a layer of its own that is
later cut to shape.
"""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas, Color, tone
from .figure import Shape
from .labels import COLORS, NONE, Garment
from .necks import opening_bottom
from .prints import print_alpha

_WORDS = ("LOVE", "SEOUL", "PARIS", "RUN", "1988", "HELLO")


class Cloth:
    """This is the cloth of a garment that is being painted: its texture layer, and its colours."""

    def __init__(self, canvas: Canvas, garment: Garment, shape: Shape, mask: np.ndarray, rng: np.random.Generator):
        self.canvas, self.garment, self.shape, self.rng = canvas, garment, shape, rng
        self.main: Color = COLORS[garment.color]
        self.sub: Color | None = None if garment.sub_color == NONE else COLORS[garment.sub_color]
        self.accent: Color = self.sub or tone(self.main, 0.22)
        self.seam: Color = tone(self.main, 0.6)
        self.layer = np.zeros_like(canvas.image)
        x, y, w, h = cv2.boundingRect(mask)
        self.box = np.s_[y : y + h, x : x + w]  # where there is cloth at all

    def to_pixels(self) -> np.ndarray:
        """Return the map from figure units to the box's own pixels, float (2, 3)."""
        rows, columns = self.box
        return self.canvas.pose.matrix - np.array([[0, 0, columns.start], [0, 0, rows.start]])

    def line(self, points, color: Color | None = None, width: float = 0.007) -> None:
        self.canvas.line(self.layer, points, color or self.seam, width)

    def fill(self, points, color: Color | None = None) -> None:
        self.canvas.fill(self.layer, points, color or self.seam)

    def disc(self, x: float, y: float, radius: float = 0.011, color: Color | None = None) -> None:
        self.canvas.disc(self.layer, x, y, radius, color or self.seam)

    def patch(self, points, color: Color | None = None) -> None:
        """Sew on a piece: it is filled and outlined."""
        self.fill(points, color or self.accent)
        self.canvas.line(self.layer, points, self.seam, 0.007, closed=True)


def _texture(name: str, u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Compute what a material does to the brightness of each pixel, float32 (h, w), or None for a smooth one."""
    turn = np.float32(2 * np.pi)
    if name == "denim":
        return 1 + np.float32(0.11) * np.sign(np.sin(turn * (u + v) / 0.034))
    if name == "knit":
        return 1 + 0.1 * np.sin(turn * u / 0.036)
    if name == "leather":
        streaks = np.sin(turn * (3.1 * u + 1.3 * v + 0.12 * np.sin(9 * v)))
        return 0.93 + 0.6 * (np.clip(streaks, 0.7, 1) - np.float32(0.7))
    if name == "silk":
        return 1 + 0.17 * np.sin(turn * (u + 0.45 * v) / 0.16)
    if name == "corduroy":
        return 1.04 - 0.2 * (np.sin(turn * u / 0.026) > 0.3)
    if name == "spandex":
        return 1 + 0.13 * np.cos(turn * (np.abs(u) - 0.07) / 0.16)
    if name in ("tweed", "fur"):
        shape = u.shape if name == "tweed" else (u.shape[0] // 3 + 1, u.shape[1] // 3 + 1)
        grain = rng.random(shape, dtype=np.float32)
        if name == "fur":
            grain = cv2.resize(grain, (u.shape[1], u.shape[0]), interpolation=cv2.INTER_CUBIC)
        return 0.8 + 0.42 * grain
    if name == "mesh":
        return 1 - 0.34 * ((np.sin(turn * (u + v) / 0.04) > 0.88) | (np.sin(turn * (u - v) / 0.04) > 0.88))
    return None


def paint_cloth(cloth: Cloth) -> None:
    """Paint colour, pattern, material and folds on the box around the cloth."""
    canvas, garment, rng = cloth.canvas, cloth.garment, cloth.rng
    u, v = canvas.u[cloth.box], canvas.v[cloth.box]
    folds = 1.03 - 0.9 * u * u + 0.03 * np.sin(38 * u + 7 * v + rng.uniform(0, 6))
    for material in garment.material:
        texture = _texture(material, u, v, rng)
        folds = folds if texture is None else folds * texture
    if garment.color in ("gold", "silver"):  # metal shines
        folds = folds * (1 + 0.22 * np.clip(np.sin(24 * u + 17 * v + rng.uniform(0, 6)), -0.3, 1))
    span = (cloth.shape.top, cloth.shape.hem)
    alpha = print_alpha(garment.print[0], rng, u, v, cv2.invertAffineTransform(cloth.to_pixels()), span)
    channels = []
    for main, second in zip(cloth.main, cloth.accent, strict=True):
        plane = main * folds if alpha is None else (main + alpha * np.float32(second - main)) * folds
        channels.append(np.clip(plane, 0, 255).astype(np.uint8))
    layer = cv2.merge(channels)
    if "sequin/glitter" in garment.material:
        spots = (rng.random(u.shape, dtype=np.float32) > 0.955).astype(np.uint8)
        layer[cv2.dilate(spots, np.ones((2, 2), np.uint8)) > 0] = (255, 255, 250)
    if "lace" in garment.material:
        holes = np.sin(2 * np.pi * u / 0.045) * np.sin(2 * np.pi * v / 0.045) > 0.55
        layer[holes] = layer[holes] * 0.35 + np.array((205, 160, 130)) * 0.65
    cloth.layer[cloth.box] = layer


def paint_chest(cloth: Cloth) -> None:
    """Paint a picture or words on the chest, in the second colour."""
    if cloth.garment.print[0] not in ("graphic", "lettering"):
        return
    y = max(opening_bottom(cloth.garment) + 0.055, 0.30)
    color = cloth.sub or tone(cloth.main, 0.42)
    if cloth.garment.print[0] == "lettering":
        pose = cloth.canvas.pose
        scale = 0.00128 * pose.unit
        for row in range(2):
            word = _WORDS[int(cloth.rng.integers(len(_WORDS)))]
            (width, _), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
            x, baseline = pose.to_pixels([(0, y + 0.05 * row)])[0]
            origin = (int(x - width / 2), int(baseline))
            cv2.putText(cloth.layer, word, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 2, cv2.LINE_AA)
        return
    kind = int(cloth.rng.integers(3))
    if kind == 0:
        cloth.disc(0, y, 0.052, color)
        cloth.disc(0, y, 0.028, cloth.main)
    elif kind == 1:
        angle = np.deg2rad(np.arange(-90, 270, 36))
        radius = np.where(np.arange(10) % 2, 0.026, 0.062)
        cloth.fill(np.stack([radius * np.cos(angle), y + radius * np.sin(angle)], 1), color)
    else:
        cloth.fill([(-0.05, y - 0.04), (0.05, y - 0.04), (0, y + 0.055)], color)
