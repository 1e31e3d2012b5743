"""This module keeps the best checkpoint by any metric of the evaluation, and ends a training that gets no better."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from ...checkpoint import KFashionCheckpointer

__all__ = ["BestCheckpoint", "StopTraining", "build_best_checkpoint", "unknown_metric"]

logger = logging.getLogger(__name__)


class StopTraining(BaseException):
    """This exception ends the training loop early and in order. (No Exception: Detectron2 logs those as failures.)"""


def unknown_metric(metric: str, known: Collection[str]) -> str:
    """Say that an evaluation does not give a metric, and which it does."""
    close = difflib.get_close_matches(metric, known, n=3)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"TEST.BEST.METRIC is {metric!r}, which the evaluation does not give.{hint} It gives " + (
        ", ".join(sorted(known)) or "nothing: name a test set"
    )


class BestCheckpoint(HookBase):
    """
    This hook saves ``model_best.pth`` after every evaluation that is better than all before; after `patience`
    evaluations in a row that are not, it saves ``model_final.pth`` and stops, all processes together. It stands after
    the evaluation's hook.

    The metric's values are in the checkpoints, so a resumed run remembers the best and counts on; one that resumes with
    another metric begins anew. ``model_best.pth`` never becomes the checkpoint to resume from.
    """

    def __init__(
        self,
        metric: str,
        checkpointer: KFashionCheckpointer,
        get_results: Callable[[], Mapping[str, Any]],
        *,
        eval_period: int,
        mode: str = "max",
        patience: int = 0,
        min_delta: float = 0.0,
        checkpoint_period: int = 0,
    ):
        """
        Check the settings.

        Args:
            metric: name in the flattened results, as "bbox/AP50", with several test sets "kfashion_val/bbox/AP50".
            checkpointer: of the training.
            get_results: gives the last evaluation's results, on the main process.
            eval_period: of the evaluation's hook.
            mode: "max" or "min".
            patience: evaluations; 0: the training never stops early.
            min_delta: by how much better an evaluation must be to be patient again.
            checkpoint_period: of the periodic checkpoints, which are saved before the evaluation: those of the same
                iteration are saved again after it, with its outcome.

        Raises:
            ValueError: an argument is out of its range, or patience has no evaluations to wait for.
        """
        if mode not in ("max", "min"):
            raise ValueError(f"TEST.BEST.MODE is {mode!r}; choose max or min")
        if patience < 0 or min_delta < 0:
            raise ValueError(f"TEST.BEST.PATIENCE is {patience} and MIN_DELTA {min_delta}: neither can be negative")
        if patience and eval_period <= 0:
            raise ValueError(f"TEST.BEST.PATIENCE is {patience}, but TEST.EVAL_PERIOD is {eval_period}: set it above 0")
        self._metric = metric
        self._checkpointer = checkpointer
        self._get_results = get_results
        self._eval_period = eval_period
        self._sign = 1 if mode == "max" else -1
        self._patience = patience
        self._min_delta = min_delta
        self._checkpoint_period = checkpoint_period
        self._values: list[list] = []  # [iteration, value] of every evaluation

    def best(self) -> tuple[int, float] | None:
        """Return the iteration and value of the best evaluation so far, the first of equal ones."""
        finite = [(i, value) for i, value in self._values if math.isfinite(value)]
        return max(finite, key=lambda entry: self._sign * entry[1], default=None)

    def num_waiting(self) -> int:
        """Count the evaluations since the last one that was better than all before by more than `min_delta`."""
        waiting, record = 0, -math.inf
        for _, value in self._values:
            waiting += 1
            if math.isfinite(value) and self._sign * value > record + self._min_delta:
                waiting, record = 0, self._sign * value
        return waiting

    def before_train(self):
        self._stop_if_patience_is_out()  # a resumed run that had stopped

    def after_step(self):
        step = self.trainer.iter + 1
        # Detectron2 evaluates after the last step in after_train.
        if self._eval_period > 0 and step % self._eval_period == 0 and step != self.trainer.max_iter:
            self._add_evaluation()
            if self._checkpoint_period and step % self._checkpoint_period == 0:
                self._checkpointer.save(f"model_{self.trainer.iter:07d}", iteration=self.trainer.iter)
            self._stop_if_patience_is_out(save=True)

    def after_train(self):
        if self.trainer.iter >= self.trainer.max_iter:  # else it failed, or stopped early
            # Detectron2 counts one more after the last iteration; what is saved is to resume behind the last one.
            iteration, self.trainer.iter = self.trainer.iter, self.trainer.max_iter - 1
            self._add_evaluation()
            self._checkpointer.save("model_final", iteration=self.trainer.iter)
            self.trainer.iter = iteration
        best = self.best()
        if best:
            logger.info("the best %s is %.4f, of iteration %d: model_best.pth", self._metric, best[1], best[0])

    def _add_evaluation(self) -> None:
        """
        Note the last evaluation, and save the model if it is the best.

        Raises:
            ValueError: the evaluation has no such metric; the message lists those it has. On all processes.
        """
        value = comm.all_gather(self._read_metric() if comm.is_main_process() else None)[0]
        if isinstance(value, str):
            raise ValueError(value)
        iteration = self.trainer.iter
        # A finished run that is resumed evaluates again.
        self._values = [entry for entry in self._values if entry[0] < iteration]
        best = self.best()
        self._values.append([iteration, value])
        if self.best() != best:
            self._checkpointer.save("model_best", tag=False, iteration=iteration, **{self._metric: value})

    def _read_metric(self) -> float | str:
        """Return the value, or what to say where there is none."""
        results = flatten_results_dict(self._get_results())
        return float(results[self._metric]) if self._metric in results else unknown_metric(self._metric, results)

    def _stop_if_patience_is_out(self, save: bool = False) -> None:
        waiting = self.num_waiting()
        if not self._patience or waiting < self._patience:
            return
        if save:
            self._checkpointer.save("model_final", iteration=self.trainer.iter)
        best = self.best()
        raise StopTraining(
            f"{self._metric} was no better in the last {waiting} evaluations"
            + (f" than {best[1]:.4f} at iteration {best[0]}" if best else "")
            + "; to go on, resume with a larger TEST.BEST.PATIENCE"
        )

    def state_dict(self) -> dict:
        return {"metric": self._metric, "values": self._values}

    def load_state_dict(self, state: dict) -> None:
        before = state.get("metric", self._metric)
        if before != self._metric:
            logger.warning(
                "TEST.BEST.METRIC was %s and is %s now: its values begin anew, and model_best.pth is of %s until "
                "the next evaluation",
                before,
                self._metric,
                before,
            )
            return
        self._values = [list(entry) for entry in state["values"]]


def build_best_checkpoint(
    cfg: CfgNode, checkpointer: KFashionCheckpointer, get_results: Callable[[], Mapping[str, Any]]
) -> BestCheckpoint | None:
    """
    Build the hook that ``TEST.BEST`` describes, or return None.

    Raises:
        ValueError: a value is out of its range, or one asks for another that is not set.
    """
    best = cfg.TEST.BEST
    if not best.METRIC:
        if best.PATIENCE:
            raise ValueError(f"TEST.BEST.PATIENCE is {best.PATIENCE}, but TEST.BEST.METRIC is empty: name a metric")
        return None
    return BestCheckpoint(
        best.METRIC,
        checkpointer,
        get_results,
        eval_period=cfg.TEST.EVAL_PERIOD,
        mode=best.MODE,
        patience=best.PATIENCE,
        min_delta=best.MIN_DELTA,
        checkpoint_period=cfg.SOLVER.CHECKPOINT_PERIOD,
    )
