"""This package tunes temperatures and thresholds that make scores mean what they say. Names load on first use."""

from ...utils.lazy import lazy_exports

__all__ = [
    "Calibration",
    "calibration_report",
    "fit_calibration",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Calibration": ".core",
        "calibration_report": ".reliability",
        "fit_calibration": ".core",
    },
)
