"""
This module makes small charts of an evaluation as shapes for inline SVG: they are sharp, light, and their text is the
page's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...evaluation.attributes.ranking import PrecisionRecall
from ...evaluation.calibration.confidence import CalibrationBins

__all__ = ["curve_points", "pr_panel", "reliability_panel"]

MAX_POINTS = 80  # of a curve: as many as 100 pixels show
SIDE = 100  # units of a panel, drawn from the top left corner


def curve_points(x: np.ndarray, y: np.ndarray, limit: int = MAX_POINTS) -> str:
    """
    Make the `points` of a polyline, 0 to 1 in both directions from the bottom left corner.

    Args:
        x, y: float (M,), x rising or staying.
        limit: at about this many points. Of a longer curve places at even steps of x are kept, and of each place the
            first and the last point, between which the line falls upright.
    """
    first = np.flatnonzero(np.diff(x, prepend=-1.0) > 0)
    last = np.append(first[1:], len(x)) - 1
    if len(x) > limit:
        kept = np.unique(np.searchsorted(x[first], np.linspace(x[0], x[-1], limit // 2)).clip(0, len(first) - 1))
        rows = np.unique(np.concatenate([first[kept], last[kept]]))
        x, y = x[rows], y[rows]
    return " ".join(f"{SIDE * a:.4g},{SIDE - SIDE * b:.4g}" for a, b in zip(x, y, strict=True))


def pr_panel(curve: PrecisionRecall, least: float) -> dict[str, Any]:
    """
    Lay out the precision-recall curve of one label, and where the threshold is on it.

    Args:
        curve: of the label.
        least: the label's threshold.

    Returns:
        "points" of the polyline and "mark", the (x, y) of the threshold or None where nothing reaches it.
    """
    recall = np.concatenate([[0.0], curve.recall])
    points = curve_points(recall, np.concatenate([curve.precision[:1], curve.precision]))
    reached = int((curve.scores >= np.asarray(least).astype(curve.scores.dtype)).sum())
    mark = None
    if reached:
        mark = (round(SIDE * float(curve.recall[reached - 1]), 1), round(SIDE - SIDE * curve.precision[reached - 1], 1))
    return {"points": points, "mark": mark}


def reliability_panel(bins: CalibrationBins) -> list[dict[str, Any]]:
    """
    Lay out the bars of a reliability diagram.

    Returns:
        For each bin that holds answers "x" and "width", "y" and "height" of the share that is right, "confidence" and
        "frequency" in percent, "count".
    """
    width = SIDE / len(bins.counts)
    return [
        {
            "x": round(i * width, 2),
            "width": round(width - 0.6, 2),
            "y": round(SIDE - SIDE * float(bins.frequency[i]), 2),
            "height": round(SIDE * float(bins.frequency[i]), 2),
            "confidence": 100 * float(bins.confidence[i]),
            "frequency": 100 * float(bins.frequency[i]),
            "count": int(bins.counts[i]),
        }
        for i in np.flatnonzero(bins.counts)
    ]
