"""This module draws one garment: its geometry, the pixels that it covers, and its painting on the picture."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas, tone
from .cloth import Cloth, paint_chest, paint_cloth
from .figure import WAIST_Y, Pose, Shape, bottom_shape, upper_shape
from .labels import Garment
from .marks import cut_details, paint_details, paint_mark
from .necks import add_neckline, bow, collar_pieces

_CROSS = np.ones((3, 3), np.uint8)


def shape_of(garment: Garment, pose: Pose, rng: np.random.Generator) -> Shape:
    """Return the garment's geometry on this figure; the hem's place varies a little within its length."""
    hem = garment.hem + rng.uniform(-0.008, 0.008)
    if garment.part == "bottom":
        shape = bottom_shape(garment, pose, hem)
    else:
        shape = upper_shape(garment, pose, hem)
        add_neckline(shape, garment)
        shape.pieces += collar_pieces(garment)
    if "ribbon" in garment.detail:
        shape.pieces += bow(0.055, (WAIST_Y if garment.part == "bottom" else 0.36) + 0.02, 0.05)
    cut_details(shape, garment)
    return shape


def masks_of(canvas: Canvas, shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return the pixels of a garment, as if nothing were worn over it.

    Returns:
        cloth uint8 (H, W), 0..255: the cloth without the pieces laid on it, anti-aliased.
        covered bool (H, W): cloth and pieces.
        outline bool (H, W): what an annotator outlines: `covered`, and the open front of an outer.
    """
    pieces = [piece.points for piece in shape.pieces if piece.kind != "line"]
    if shape.gap is None:
        cloth = canvas.mask(shape.fills, shape.cuts)
        covered = cv2.max(cloth, canvas.mask(pieces)) > 127 if pieces else cloth > 127
        return cloth, covered, covered
    whole = canvas.mask(shape.fills, shape.cuts)
    cloth = whole.copy()
    canvas.fill(cloth, shape.gap, 0)
    laid = canvas.mask(pieces)
    return cloth, cv2.max(cloth, laid) > 127, cv2.max(whole, laid) > 127


def paint_garment(canvas: Canvas, garment: Garment, shape: Shape, mask: np.ndarray, rng: np.random.Generator) -> None:
    """
    Paint a garment on the picture.

    Args:
        canvas: the picture so far, which changes in place.
        garment, shape: what to paint, and its geometry on this figure.
        mask: uint8 (H, W), the cloth, as `masks_of` gives it.
        rng: for the pattern's phase, folds and words.
    """
    cloth = Cloth(canvas, garment, shape, mask, rng)
    paint_cloth(cloth)
    paint_chest(cloth)
    for band in shape.bands:
        cloth.patch(band)
    paint_mark(cloth)
    paint_details(cloth)
    for seam in shape.seams:
        cloth.line(seam)
    canvas.blend(cloth.layer, mask)
    _paint_edges(cloth, mask)
    _paint_pieces(cloth)


def _paint_edges(cloth: Cloth, mask: np.ndarray) -> None:
    """Draw a thin line around the cloth, a strong dark one around an outer; piping along the neck's opening."""
    canvas, is_outer = cloth.canvas, cloth.garment.part == "outer"
    grown = cv2.dilate(mask, _CROSS)
    edge = cv2.subtract(grown if is_outer else mask, cv2.erode(mask, _CROSS))
    canvas.blend(tone(cloth.main, 0.75) if is_outer else cloth.seam, edge)
    if not cloth.shape.edges:
        return
    piping = np.zeros_like(mask)
    for points in cloth.shape.edges:
        canvas.line(piping, points, 255, 0.016 if is_outer or cloth.sub else 0.010)
    canvas.blend(cloth.sub or cloth.seam, cv2.min(piping, grown))


def _paint_pieces(cloth: Cloth) -> None:
    canvas = cloth.canvas
    color = cloth.sub or tone(cloth.main, 0.30)
    for piece in cloth.shape.pieces:
        if piece.kind == "line":
            canvas.line(canvas.image, piece.points, cloth.seam, 0.011)
        else:
            canvas.fill(canvas.image, piece.points, color if piece.kind == "accent" else cloth.seam)
            canvas.line(canvas.image, piece.points, cloth.seam, 0.006, closed=True)
