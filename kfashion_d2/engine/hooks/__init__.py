"""This package has Detectron2 hooks: what goes on around a training step, one file each. Names load on first use."""

from ...utils.lazy import lazy_exports

__all__ = [
    "BestCheckpoint",
    "CountBrokenImages",
    "LastBatch",
    "SeedIterations",
    "StopAtNonFiniteLoss",
    "StopTraining",
    "UpdateEMA",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BestCheckpoint": ".best_checkpoint",
        "CountBrokenImages": ".broken_images",
        "LastBatch": ".last_batch",
        "SeedIterations": ".seed_iterations",
        "StopAtNonFiniteLoss": ".finite_loss",
        "StopTraining": ".best_checkpoint",
        "UpdateEMA": ".ema",
    },
)
