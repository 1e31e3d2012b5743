"""This module draws the picture around the garments: wall, floor, clutter, the person's skin, hair and shoes."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas, tone
from .figure import BODY, SIDES, mirrored, trunk

_SKINS = ((246, 214, 188), (232, 190, 158), (212, 164, 128), (178, 124, 88), (130, 88, 62))
_HAIRS = ((28, 22, 22), (58, 38, 28), (96, 62, 38), (150, 106, 62), (70, 66, 70))
_SHOES = ((30, 30, 34), (240, 240, 238), (120, 78, 48), (170, 40, 40))
_SIZES = ((224, 224), (224, 216), (240, 224), (232, 208), (248, 224))


def sample_size(rng: np.random.Generator) -> tuple[int, int]:
    """Draw a picture's (height, width)."""
    return _SIZES[int(rng.integers(len(_SIZES)))]


def _wall_color(hue: float, light: float) -> np.ndarray:
    """Draw a pale colour, RGB."""
    rgb = cv2.cvtColor(np.array([[[hue * 179, 46, light * 255]]], dtype=np.uint8), cv2.COLOR_HSV2RGB)
    return rgb[0, 0].astype(np.float32)


def background(rng: np.random.Generator, height: int, width: int, style: int) -> np.ndarray:
    """
    Draw a wall that depends on the style (hue and pattern), a floor, light from one side, and clutter.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    wall = _wall_color((style * 0.618) % 1, rng.uniform(0.78, 0.97))
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = 1 + rng.uniform(-0.1, 0.1) * x + rng.uniform(-0.08, 0.08) * y
    kind, period = style % 4, rng.uniform(0.2, 0.28)
    if kind == 1:
        light = light * (1 - 0.06 * (np.mod(x / period, 1) < 0.5))
    elif kind == 2:
        light = light * (1 - 0.08 * (np.mod(y / period, 1) < 0.12))
    elif kind == 3:
        light = light * (1 - 0.08 * np.maximum(np.mod(x / period, 1) < 0.1, np.mod(y / period, 1) < 0.1))
    image = np.clip(light[..., None] * wall, 0, 255).astype(np.uint8)
    if image.shape[0] != height:
        image = np.repeat(image, height, axis=0)
    floor = int(height * rng.uniform(0.78, 0.92))
    image[floor:] = np.clip(image[floor:] * rng.uniform(0.72, 0.9), 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 5))):
        _clutter(rng, image, floor)
    return image


def _clutter(rng: np.random.Generator, image: np.ndarray, floor: int) -> None:
    """Draw a frame, a lamp, a box or a plant; never large, never vivid."""
    height, width = image.shape[:2]
    color = tuple(float(c) for c in _wall_color(rng.random(), rng.uniform(0.35, 0.95)))
    edge = tone(color, 0.3)
    x = int(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1.0)]) * width)
    kind = int(rng.integers(4))
    if kind == 0:
        w, h, y = *rng.integers(14, 40, 2), int(rng.uniform(0.05, 0.5) * height)
        cv2.rectangle(image, (x - w // 2, y), (x + w // 2, y + h), color, -1)
        cv2.rectangle(image, (x - w // 2, y), (x + w // 2, y + h), edge, 2)
    elif kind == 1:
        y = int(rng.uniform(0.1, 0.5) * height)
        cv2.line(image, (x, y), (x, floor + 8), edge, 2, cv2.LINE_AA)
        cv2.ellipse(image, (x, y), (14, 11), 0, 180, 360, color, -1, cv2.LINE_AA)
    elif kind == 2:
        w, h = rng.integers(14, 36, 2)
        cv2.rectangle(image, (x - w // 2, floor + 6 - h), (x + w // 2, floor + 6), color, -1)
        cv2.line(image, (x - w // 2, floor + 6 - h // 2), (x + w // 2, floor + 6 - h // 2), edge, 1, cv2.LINE_AA)
    else:
        for angle in rng.uniform(-60, 60, 5):
            tip = (x + int(30 * np.sin(np.deg2rad(angle))), floor - int(30 * np.cos(np.deg2rad(angle))))
            cv2.line(image, (x, floor), tip, (96, 132, 88), 3, cv2.LINE_AA)
        cv2.rectangle(image, (x - 8, floor), (x + 8, floor + 12), (168, 120, 92), -1)


class Person:
    """This object draws the body, in two goes: what garments cover, and the head on top of them."""

    def __init__(self, canvas: Canvas, rng: np.random.Generator):
        self.canvas = canvas
        self.skin = tuple(float(c) for c in _SKINS[int(rng.integers(len(_SKINS)))])
        self.shade = tone(self.skin, 0.22)
        self.hair = _HAIRS[int(rng.integers(len(_HAIRS)))]
        self.shoes = _SHOES[int(rng.integers(len(_SHOES)))]
        self.hair_style = int(rng.integers(4))
        self.look = rng.uniform(-0.008, 0.008)

    def _part(self, points) -> None:
        self.canvas.fill(self.canvas.image, points, self.skin)
        self.canvas.line(self.canvas.image, points, self.shade, 0.004, closed=True)

    def draw_body(self) -> None:
        """Draw long hair, shoes, legs, arms, trunk and neck."""
        canvas, pose = self.canvas, self.canvas.pose
        if self.hair_style == 2:
            back = ellipse(0, 0.13, 0.092, 0.15)
            canvas.fill(canvas.image, back, self.hair)
        for side in SIDES:
            y = np.linspace(0.5, 0.955, 9)
            middle, half = pose.leg_x(y), np.interp(y, (0.5, 0.75, 0.955), (0.062, 0.042, 0.026))
            leg = np.concatenate([np.stack([middle + half, y], 1), np.stack([middle - half, y], 1)[::-1]])
            self._part(leg if side > 0 else mirrored(leg))
            x = float(pose.leg_x(0.96))
            shoe = np.array(
                [(x - 0.03, 0.945), (x + 0.028, 0.945), (x + 0.05, 0.985), (x + 0.044, 1.0), (x - 0.032, 1.0)]
            )
            canvas.fill(canvas.image, shoe if side > 0 else mirrored(shoe), self.shoes)
        for side in SIDES:
            self._part(pose.arm(side, 0.0, 1.0, 0.036, 0.024))
            self._part(pose.arm(side, 0.97, 1.16, 0.027, 0.018))
        self._part(trunk(BODY, 0.2, 0.56))
        shoulders = np.array([(0.032, 0.11), (0.034, 0.165), (0.07, 0.183), (0.145, 0.2), (0.15, 0.23)])
        self._part(np.concatenate([shoulders, mirrored(shoulders)[::-1]]))
        canvas.fill(canvas.image, trunk(BODY, 0.21, 0.55), self.skin)

    def _head(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return outlines of the face and of the hair in front."""
        fringe = [(0.058, 0.085), (0.04, 0.045), (-0.02, 0.038), (-0.05, 0.06), (-0.06, 0.088)]
        hair = [np.concatenate([ellipse(0, 0.07, 0.062, 0.066)[12:25], fringe])]
        if self.hair_style == 1:
            hair.append(ellipse(0, 0.008, 0.03, 0.026))
        if self.hair_style in (2, 3):
            lock = np.array([(0.042, 0.045), (0.064, 0.06), (0.066, 0.13), (0.05, 0.13)])
            hair += [lock, mirrored(lock)]
        return ellipse(0, 0.082, 0.055, 0.066), hair

    def head_mask(self) -> np.ndarray:
        """Return the pixels that the head covers, bool (H, W)."""
        face, hair = self._head()
        return self.canvas.mask([face, *hair]) > 127

    def draw_head(self) -> None:
        """Draw face and hair, over the garments."""
        canvas, image = self.canvas, self.canvas.image
        face, hair = self._head()
        self._part(face)
        for outline in hair:
            canvas.fill(image, outline, self.hair)
        for side in SIDES:
            canvas.disc(image, side * 0.021 + self.look, 0.088, 0.006, (40, 30, 30))
        mouth = [(-0.012 + self.look, 0.120), (self.look, 0.124), (0.012 + self.look, 0.120)]
        canvas.line(image, mouth, (178, 70, 74), 0.006)


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """Return 24 points, clockwise from the right."""
    angle = np.linspace(0, 2 * np.pi, 25)[:-1]
    points = np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)
    return np.concatenate([points, points[:1]])


def finish(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Add light and grain of the camera."""
    gain = rng.uniform(0.94, 1.05) * (1 + rng.uniform(-0.02, 0.02, 3))
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table[:, None, :])
    grain = rng.integers(0, 9, image.shape[:2], dtype=np.uint8)
    return cv2.subtract(cv2.add(image, cv2.merge([grain] * 3)), np.full_like(image, 4))
