"""This package keeps a model's answers beside the ground truth, as arrays and as a file. Names load on first use."""

from ...utils.lazy import lazy_exports

__all__ = [
    "Predictions",
    "PredictionsInfo",
    "read_predictions",
    "write_predictions",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Predictions": ".core",
        "PredictionsInfo": ".core",
        "read_predictions": ".file",
        "write_predictions": ".file",
    },
)
