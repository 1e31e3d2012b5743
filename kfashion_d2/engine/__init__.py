"""This package trains: it has the Trainer, and what a config needs before it can train."""

from ..utils.lazy import lazy_exports

__all__ = ["Trainer", "calibrate", "predict_dataset", "register_from_config", "setup_config", "setup_loggers"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Trainer": ".trainer",
        "calibrate": ".calibration",
        "predict_dataset": ".evaluation",
        "register_from_config": ".setup",
        "setup_config": ".setup",
        "setup_loggers": ".loggers",
    },
)
