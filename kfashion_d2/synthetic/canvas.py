"""This module draws in figure units on a picture, with edges finer than a pixel."""

from __future__ import annotations

import cv2
import numpy as np

from .figure import Pose

_SHIFT = 4

Color = tuple[float, float, float]


class Canvas:
    """
    A canvas is a picture and the pose of the figure in it.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        pose: takes figure units to pixels.
        inverse: float (2, 3), pixels to figure units.
        u, v: float32 (H, W), every pixel in figure units.
    """

    def __init__(self, image: np.ndarray, pose: Pose):
        self.image = image
        self.pose = pose
        self.height, self.width = image.shape[:2]
        self.inverse = cv2.invertAffineTransform(pose.matrix)
        columns, rows = np.arange(self.width, dtype=np.float32), np.arange(self.height, dtype=np.float32)[:, None]
        m = self.inverse.astype(np.float32)
        self.u = m[0, 0] * columns + m[0, 1] * rows + m[0, 2]
        self.v = m[1, 0] * columns + m[1, 1] * rows + m[1, 2]

    def _fixed(self, points) -> np.ndarray:
        return np.round(self.pose.to_pixels(points) * (1 << _SHIFT)).astype(np.int32)

    def pixels(self, size: float) -> int:
        """Turn a width in figure units into a line's width in pixels, at least 1."""
        return max(1, round(size * self.pose.unit))

    def fill(self, image: np.ndarray, points, color) -> None:
        cv2.fillPoly(image, [self._fixed(points)], color, cv2.LINE_AA, _SHIFT)

    def line(self, image: np.ndarray, points, color, width: float, closed: bool = False) -> None:
        """Draw a line; `width` is in figure units."""
        cv2.polylines(image, [self._fixed(points)], closed, color, self.pixels(width), cv2.LINE_AA, _SHIFT)

    def disc(self, image: np.ndarray, x: float, y: float, radius: float, color) -> None:
        center = self._fixed([(x, y)])[0]
        scale = round(radius * self.pose.unit * (1 << _SHIFT))
        cv2.circle(image, (int(center[0]), int(center[1])), scale, color, -1, cv2.LINE_AA, _SHIFT)

    def mask(self, fills, cuts=()) -> np.ndarray:
        """Draw the union of `fills` without `cuts`, anti-aliased; uint8 (H, W), 0..255."""
        mask = np.zeros((self.height, self.width), dtype=np.uint8)
        for points in fills:
            self.fill(mask, points, 255)
        for points in cuts:
            self.fill(mask, points, 0)
        return mask

    def blend(self, layer: np.ndarray | Color, mask: np.ndarray) -> None:
        """Lay `layer`, a picture (H, W, 3) or one colour, on the picture where `mask` (H, W) says."""
        x, y, w, h = cv2.boundingRect(mask)
        if not w:
            return
        box = np.s_[y : y + h, x : x + w]
        if isinstance(layer, tuple):
            top = np.empty((h, w, 3), dtype=np.uint8)
            top[:] = layer
        else:
            top = layer[box]
        alpha = cv2.merge([mask[box]] * 3)
        below = cv2.multiply(self.image[box], 255 - alpha, scale=1 / 255)
        self.image[box] = cv2.add(below, cv2.multiply(top, alpha, scale=1 / 255))


def tone(color, amount: float = 0.42) -> Color:
    """Return a darker shade of a colour, or a lighter one of a dark colour."""
    c = np.asarray(color, dtype=np.float64)
    dark = c @ (0.299, 0.587, 0.114) < 75
    c = c + (255 - c) * amount if dark else c * (1 - amount)
    return tuple(float(x) for x in c)  # type: ignore[return-value]
