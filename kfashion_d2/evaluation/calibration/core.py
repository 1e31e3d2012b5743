"""
This module tunes temperatures and decision thresholds of attribute groups on validation: for scores that mean what they
say, and an answer only where it is worth giving.

Shapes: N garments, L labels in all groups together, K labels of one group. Targets are int8: 1 yes, 0 no, -1 unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ...schema import UNKNOWN, AttributeSchema
from ...utils.arrays import last_of_equals

__all__ = ["F1_KINDS", "Calibration", "fit_calibration"]

F1_KINDS = ("micro", "macro")
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 10.0
# The largest float32 below 1: a sigmoid that rounds to 1 is taken for it, so that its logit is finite.
ALMOST_ONE = 1 - 2.0**-24
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Calibration:
    """
    A calibration is what was tuned, for one schema.

    Attributes:
        schema: the groups of the columns.
        temperatures: group -> T; 1 leaves the scores as they are.
        thresholds: group -> the least score of an answer, after the temperature: of a multi-label group's label, and
            of a single-label group's best label, which is "unsure" below it (0: never). As
            :meth:`AttributeSchema.decode` takes them.
        settings: how it was tuned; plain values.

    Raises:
        ValueError: a group is missing or not of the schema, or a number is out of its range.
    """

    schema: AttributeSchema
    temperatures: Mapping[str, float]
    thresholds: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = set(self.schema.group_names)
        for what, values in (("temperatures", self.temperatures), ("thresholds", self.thresholds)):
            if set(values) != names:
                raise ValueError(
                    f"the calibration's {what} are of the groups {', '.join(values)}; "
                    f"schema {self.schema.name!r} has {', '.join(self.schema.group_names)}"
                )
        for name in self.schema.group_names:
            temperature, threshold = self.temperatures[name], self.thresholds[name]
            if not (0 < temperature < math.inf and 0 <= threshold <= 1):
                raise ValueError(
                    f"group {name!r} has temperature {temperature} and threshold {threshold}: "
                    "a temperature is above 0, a threshold from 0 to 1"
                )

    @classmethod
    def default(cls, schema: AttributeSchema) -> Calibration:
        """
        Return the calibration that changes nothing: temperatures 1, multi-label thresholds 0.5, single-label groups
        always answer.
        """
        return cls(
            schema, dict.fromkeys(schema.group_names, 1.0), {g.name: _default_threshold(g) for g in schema.groups}
        )

    def apply(self, scores: Any) -> Any:
        """
        Turn scores as the model gave them into calibrated ones: p^(1/T) over the row's sum in a single-label group (the
        softmax of logits / T), the sigmoid of logit(p) / T in a multi-label one. Zeros stay zeros, so a group that does
        not apply stays so; a single-label group's row keeps its sum; no order within a group's row changes.

        Args:
            scores: float (N, L), ``pred_attributes``, a tensor or an array.

        Returns:
            float (N, L): new, of the same kind, dtype and device.

        Raises:
            ValueError: the scores have another width than L.
        """
        if scores.ndim != 2 or scores.shape[1] != self.schema.num_labels:
            raise ValueError(
                f"scores {tuple(scores.shape)} must be (N, {self.schema.num_labels}), "
                f"the labels of schema {self.schema.name!r}"
            )
        if not isinstance(scores, torch.Tensor):
            return self.apply(torch.from_numpy(np.ascontiguousarray(scores))).numpy()
        columns = [
            _tempered(scores[:, self.schema.slice(group.name)], self.temperatures[group.name], group.is_single)
            for group in self.schema.groups
        ]
        return torch.cat(columns, dim=1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, for a checkpoint or a JSON file."""
        return {
            "format": FORMAT,
            "schema": {"name": self.schema.name, "hash": self.schema.hash, "groups": list(self.schema.group_names)},
            "temperatures": {name: float(self.temperatures[name]) for name in self.schema.group_names},
            "thresholds": {name: float(self.thresholds[name]) for name in self.schema.group_names},
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], schema: AttributeSchema) -> Calibration:
        """
        Read what :meth:`to_dict` gave.

        Args:
            data: what :meth:`to_dict` gave.
            schema: of the model that it is for.

        Raises:
            ValueError: it was tuned for another schema (the message gives both hashes), or is not of this format.
        """
        if data.get("format") != FORMAT:
            raise ValueError(f"a calibration of format {data.get('format')!r}, not {FORMAT}: tune it again")
        if data["schema"]["hash"] != schema.hash:
            raise ValueError(
                f"the calibration was tuned for schema {data['schema']['hash']} "
                f"(groups {', '.join(data['schema']['groups'])}), the model has schema {schema.hash} "
                f"(groups {', '.join(schema.group_names)}): tune it again, with tools/calibrate.py"
            )
        return cls(schema, dict(data["temperatures"]), dict(data["thresholds"]), dict(data["settings"]))


def _default_threshold(group: Any) -> float:
    return 0.0 if group.is_single else 0.5


def _tempered(scores: torch.Tensor, temperature: float, is_single: bool) -> torch.Tensor:
    if temperature == 1:
        return scores
    x = scores if scores.dtype == torch.float64 else scores.float()
    if is_single:
        # Over the best score first: high powers of small numbers are 0.
        powers = (x / x.amax(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)) ** (1 / temperature)
        total = powers.sum(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        return (powers / total * x.sum(dim=1, keepdim=True)).to(scores.dtype)
    x = x.clamp(max=ALMOST_ONE)
    return ((x.log() - torch.log1p(-x)) / temperature).sigmoid().to(scores.dtype)


def fit_calibration(
    scores: Any,
    targets: Any,
    schema: AttributeSchema,
    *,
    f1: str = "micro",
    target_precision: float = 0.5,
    min_support: int = 10,
    settings: Mapping[str, Any] | None = None,
) -> Calibration:
    """
    Tune every group on labelled garments, scored on their true boxes; unknown entries take no part.

    - Temperature (arXiv 1706.04599), between 0.1 and 10: minimises the negative log-likelihood of the known rows
      (single) or the binary cross-entropy of the known entries (multi). It is convex in 1/T, so the minimum is the
      only one. What a score of exactly 0 forbids, no temperature can repair: a row whose true label scores 0, and in
      a multi-label group an entry that scores 0, takes no part. T = 1 is kept where another is not better.
    - Threshold of a multi-label group: maximises the F1 (micro: of all known entries together; macro: the mean of the
      labels that are somewhere true) of the calibrated scores, as :func:`evaluate_attributes` counts it. The highest
      of equals.
    - Threshold of a single-label group, below which its answer is "unsure": maximises the sum over the answered rows
      of (1 if right, else 0) - `target_precision`. So an answer is given where it is more likely right than that:
      0.5 weighs a wrong answer as much as a right one, 0.8 four times. The least of equals.

    A threshold lies half way between two scores, the last that is answered and the next. A group with fewer known
    rows than `min_support`, or whose known entries all say the same (one label; or yes, or no, everywhere), keeps T = 1
    and the default threshold: 0.5 (multi), 0 (single: always answers).

    Args:
        scores: float (N, L), 0 to 1; a NaN counts as 0.
        targets: int8 (N, L).
        schema: the groups of the L columns.
        f1: "micro" or "macro".
        target_precision: 0 (always answers) to below 1.
        settings: more to note down beside the rule's; plain values.

    Raises:
        ValueError: the shapes do not fit, there is no such F1, or `target_precision` is out of range.
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.shape != targets.shape or scores.ndim != 2 or scores.shape[1] != schema.num_labels:
        raise ValueError(
            f"scores {scores.shape} and targets {targets.shape} must both be (N, {schema.num_labels}), "
            f"the labels of schema {schema.name!r}"
        )
    if f1 not in F1_KINDS:
        raise ValueError(f"f1={f1!r}: choose from {', '.join(F1_KINDS)}")
    if not 0 <= target_precision < 1:
        raise ValueError(f"target_precision={target_precision}: from 0 to below 1")
    temperatures, thresholds, support = {}, {}, {}
    for group in schema.groups:
        columns = schema.slice(group.name)
        x, y = np.nan_to_num(scores[:, columns].astype(np.float64)), targets[:, columns]
        known = (y != UNKNOWN).all(axis=1) if group.is_single else (y != UNKNOWN).any(axis=1)
        x, y = x[known], y[known]
        support[group.name] = len(y)
        temperatures[group.name], thresholds[group.name] = 1.0, _default_threshold(group)
        if len(y) < max(min_support, 1) or _says_one_thing(y, group.is_single):
            continue
        temperature = fit_temperature(x, y, group.is_single)
        temperatures[group.name] = temperature
        calibrated = _tempered(torch.from_numpy(x), temperature, group.is_single).numpy()
        if group.is_single:
            thresholds[group.name] = fit_unsure_threshold(calibrated, y, target_precision)
        else:
            thresholds[group.name] = fit_f1_threshold(calibrated, y, f1)
    noted = {"f1": f1, "target_precision": target_precision, "min_support": min_support, "support": support}
    return Calibration(schema, temperatures, thresholds, {**noted, **(settings or {})})


def _says_one_thing(targets: np.ndarray, is_single: bool) -> bool:
    if is_single:
        return len(np.unique(targets.argmax(axis=1))) < 2
    known = targets[targets != UNKNOWN]
    return bool((known == known[0]).all())


def log_odds(scores: np.ndarray) -> np.ndarray:
    """
    Compute the logits of float (...) scores above 0; a score that rounds to 1 is taken for the largest float32 below
    it.
    """
    scores = np.minimum(scores, ALMOST_ONE)
    return np.log(scores) - np.log1p(-scores)


def fit_temperature(scores: np.ndarray, targets: np.ndarray, is_single: bool) -> float:
    """
    Find the temperature of least negative log-likelihood; see :func:`fit_calibration`.

    Args:
        scores: float64 (N, K) of known rows.
        targets: int8 (N, K).
    """
    if is_single:
        truth = targets.argmax(axis=1)
        true_score = np.take_along_axis(scores, truth[:, None], axis=1)[:, 0]
        scores, truth = scores[true_score > 0], truth[true_score > 0]
        possible = scores > 0
        logits = np.log(np.where(possible, scores, 1.0))
        true_logits = np.take_along_axis(logits, truth[:, None], axis=1)[:, 0]

        def loss_and_slopes(beta: float) -> tuple[float, float, float]:
            z = np.where(possible, beta * logits, -np.inf)
            top = z.max(axis=1, keepdims=True)
            p = np.exp(z - top)
            total = p.sum(axis=1, keepdims=True)
            p /= total
            mean = (p * logits).sum(axis=1)
            loss = (top[:, 0] + np.log(total[:, 0]) - beta * true_logits).sum()
            return loss, (mean - true_logits).sum(), ((p * logits**2).sum(axis=1) - mean**2).sum()
    else:
        used = (targets != UNKNOWN) & (scores > 0)
        yes = targets[used] == 1
        logits = log_odds(scores[used])
        signed = np.where(yes, -logits, logits)

        def loss_and_slopes(beta: float) -> tuple[float, float, float]:
            p = 1 / (1 + np.exp(-np.clip(beta * signed, -700, 700)))
            return np.logaddexp(0, beta * signed).sum(), (p * signed).sum(), (p * (1 - p) * signed**2).sum()

    if not logits.size:
        return 1.0
    # Newton's steps on the slope, which rises; halving where a step would leave the bracket.
    low, high, beta = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, 1.0
    before = loss_and_slopes(1.0)[0]
    for _ in range(100):
        _, slope, curvature = loss_and_slopes(beta)
        if slope > 0:
            high = beta
        else:
            low = beta
        step = beta - slope / curvature if curvature > 0 else math.nan
        new = step if low < step < high else (low + high) / 2
        if abs(new - beta) <= 1e-10 * beta:
            break
        beta = new
    return 1 / beta if loss_and_slopes(beta)[0] < before else 1.0


def fit_unsure_threshold(scores: np.ndarray, targets: np.ndarray, target_precision: float) -> float:
    """
    Find the score below which a single-label group's answer is "unsure"; see :func:`fit_calibration`.

    Args:
        scores: float64 (N, K) of known rows; those that are all 0 have no answer, and take no part.
        targets: int8 (N, K).
    """
    answers = scores.any(axis=1)
    scores, targets = scores[answers], targets[answers]
    if not len(scores):
        return 0.0
    best = scores.max(axis=1).clip(max=1)  # a calibrated score may exceed 1 by rounding
    right = np.take_along_axis(targets, scores.argmax(axis=1)[:, None], axis=1)[:, 0] == 1
    order = np.argsort(-best, kind="stable")
    best, right = best[order], right[order]
    worth = np.cumsum(right) - target_precision * np.arange(1, len(right) + 1)
    last = last_of_equals(best)  # equal scores are answered together
    # Sums of tenths are not exact: what differs by rounding alone is equal.
    positions = last[worth[last] >= max(worth[last].max(), 0.0) - 1e-9]
    if not len(positions):
        return float((best[0] + 1) / 2)
    return 0.0 if positions[-1] == len(best) - 1 else _half_way(best, int(positions[-1]))


def fit_f1_threshold(scores: np.ndarray, targets: np.ndarray, f1: str) -> float:
    """
    Find the score of best F1 of a multi-label group; see :func:`fit_calibration`.

    Args:
        scores: float64 (N, K); a 0 is never answered.
        targets: int8 (N, K) with at least one 1.
        f1: "micro" or "macro".
    """
    occurs = (targets == 1).sum(axis=0)
    rows, labels = np.nonzero((targets != UNKNOWN) & (scores > 0))
    if not len(rows):
        return 0.5
    order = np.argsort(-scores[rows, labels], kind="stable")
    rows, labels = rows[order], labels[order]
    answered, right = scores[rows, labels], targets[rows, labels] == 1
    if f1 == "micro":
        quality = 2 * np.cumsum(right) / (occurs.sum() + np.arange(1, len(right) + 1))
    else:
        quality = _running_macro_f1(labels, right, occurs)
    last = last_of_equals(answered)
    return _half_way(answered, int(last[np.argmax(quality[last] >= quality[last].max() - 1e-12)]))


def _half_way(falling: np.ndarray, position: int) -> float:
    """Return the score between the one at `position` and the next lower one, or 0."""
    below = falling[position + 1] if position + 1 < len(falling) else 0.0
    return float((falling[position] + below) / 2)


def _running_macro_f1(labels: np.ndarray, right: np.ndarray, occurs: np.ndarray) -> np.ndarray:
    """Compute macro F1 after each of the answers, in their order: each changes the F1 of its own label alone."""
    by_label = np.argsort(labels, kind="stable")
    label, hit = labels[by_label], right[by_label]
    is_first = np.append(True, label[1:] != label[:-1])
    start = np.maximum.accumulate(np.where(is_first, np.arange(len(label)), 0))
    hits = np.cumsum(hit)
    hits = hits - (hits - hit)[start]
    count = np.arange(len(label)) - start + 1
    f1 = 2 * hits / (occurs[label] + count)
    change = np.where(is_first, f1, f1 - np.append(0.0, f1[:-1]))
    changes = np.empty_like(change)
    changes[by_label] = change
    return np.cumsum(changes) / max((occurs > 0).sum(), 1)
