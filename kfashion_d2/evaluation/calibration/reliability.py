"""
This module measures how far attribute scores can be believed, before and after a calibration.

Shapes: N garments, L labels in all groups together, K labels of one group.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tabulate import tabulate

from ...schema import UNKNOWN, AttributeSchema
from .confidence import answer_confidences, expected_calibration_error
from .core import Calibration, fit_calibration, log_odds

__all__ = ["calibration_report", "calibration_table", "held_out_report"]


def calibration_report(scores: Any, targets: Any, calibration: Calibration) -> dict[str, dict[str, float]]:
    """
    Measure every group as the model scores it and after the calibration, over what is known.

    Args:
        scores: float (N, L), as the model gave them.
        targets: int8 (N, L).

    Returns:
        dict: group -> plain numbers, NaN where there is nothing to measure:

        - `support`: rows with a known label (single) or entry (multi); `temperature`, `threshold`;
        - `nll_before`, `nll_after`: mean negative log-likelihood of the rows (single) or binary cross-entropy of the
          entries (multi) that :func:`fit_calibration` counts, in nats;
        - `ece_before`, `ece_after`: :func:`expected_calibration_error`, percent, of the best label's score (single),
          or of all known entries' (multi);
        - single: `accuracy` of all rows, `answered` (not "unsure") and `answered_accuracy`, percent;
        - multi: `f1_before` at 0.5 and `f1_after` at the threshold, percent: the F1 that was tuned (micro where the
          settings name none).
    """
    return _report(scores, calibration.apply(np.asarray(scores)), targets, [calibration], [slice(None)])


def held_out_report(
    scores: Any, targets: Any, folds: Any, schema: AttributeSchema, **options: Any
) -> dict[str, dict[str, float]]:
    """
    Make :func:`calibration_report` of garments that the calibration has not seen: each fold's is tuned on the others.
    `temperature` and `threshold` are the means of the folds' own.

    Args:
        folds: int (N,): the fold of each garment; those of one picture must share one.
        options: of :func:`fit_calibration`.
    """
    scores, targets, folds = np.asarray(scores), np.asarray(targets), np.asarray(folds)
    after = scores.copy()
    rows = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    fitted = [
        fit_calibration(scores[folds != folds[i[0]]], targets[folds != folds[i[0]]], schema, **options) for i in rows
    ]
    for calibration, i in zip(fitted, rows, strict=True):
        after[i] = calibration.apply(scores[i])
    return _report(scores, after, targets, fitted, rows)


def _report(
    before: Any, after: np.ndarray, targets: Any, calibrations: list[Calibration], positions: list[Any]
) -> dict[str, dict[str, float]]:
    """Measure garments before and after; `positions` has for each calibration the rows that it was applied to."""
    before, targets = np.nan_to_num(np.asarray(before)), np.asarray(targets)
    after = np.nan_to_num(after)
    report: dict[str, dict[str, float]] = {}
    if not calibrations:
        return report
    schema = calibrations[0].schema
    for group in schema.groups:
        columns, name = schema.slice(group.name), group.name
        least = np.zeros(len(before))
        for calibration, rows in zip(calibrations, positions, strict=True):
            least[rows] = calibration.thresholds[name]
        y = targets[:, columns]
        known = (y != UNKNOWN).all(axis=1) if group.is_single else (y != UNKNOWN).any(axis=1)
        x, z, y, least = before[known, columns], after[known, columns], y[known], least[known]
        values = {
            "support": float(len(y)),
            "temperature": float(np.mean([c.temperatures[name] for c in calibrations])),
            "threshold": float(np.mean([c.thresholds[name] for c in calibrations])),
        }
        measure = _measure_single if group.is_single else _measure_multi
        macro = calibrations[0].settings.get("f1") == "macro"
        for when, measured in (("before", measure(x, y, None, macro)), ("after", measure(z, y, least, macro))):
            values.update({key.replace("*", when): value for key, value in measured.items()})
        report[name] = values
    return report


def _measure_single(scores: np.ndarray, targets: np.ndarray, least: np.ndarray | None, macro: bool) -> dict[str, float]:
    truth = targets.argmax(axis=1)
    true_score = np.take_along_axis(scores, truth[:, None], axis=1)[:, 0].astype(np.float64)
    answers = scores.any(axis=1)
    best, right = scores.max(axis=1, initial=0), (scores.argmax(axis=1) == truth) & answers
    values = {
        "nll_*": float(-np.log(true_score[true_score > 0]).mean()) if (true_score > 0).any() else math.nan,
        "ece_*": 100 * expected_calibration_error(*answer_confidences(scores, targets, True)),
    }
    if least is None:
        return {**values, "accuracy": 100 * float(right.mean()) if len(right) else math.nan}
    given = answers & (best >= least)
    return {
        **values,
        "answered": 100 * float(given.mean()) if len(given) else math.nan,
        "answered_accuracy": 100 * float(right[given].mean()) if given.any() else math.nan,
    }


def _measure_multi(scores: np.ndarray, targets: np.ndarray, least: np.ndarray | None, macro: bool) -> dict[str, float]:
    known, yes = targets != UNKNOWN, targets == 1
    used = known & (scores > 0)
    odds = log_odds(scores[used].astype(np.float64))
    loss = np.logaddexp(0, np.where(yes[used], -odds, odds))
    answer = known & (scores >= (0.5 if least is None else least[:, None]))
    occurs, answered, hits = yes.sum(axis=0), answer.sum(axis=0), (yes & answer).sum(axis=0)
    if macro:
        seen = occurs > 0
        f1 = float((2 * hits[seen] / (occurs + answered)[seen]).mean()) if seen.any() else math.nan
    else:
        total = occurs.sum() + answered.sum()
        f1 = 2 * float(hits.sum()) / float(total) if total else math.nan
    return {
        "nll_*": float(loss.mean()) if loss.size else math.nan,
        "ece_*": 100 * expected_calibration_error(*answer_confidences(scores, targets, False)),
        "f1_*": 100 * f1,
    }


_SHOWN = {
    "single": ("accuracy", "answered", "answered_accuracy"),
    "multi": ("f1_before", "f1_after"),
}


def calibration_table(report: dict[str, dict[str, float]], schema: AttributeSchema, language: str = "en") -> str:
    """
    Lay out a :func:`calibration_report` for people: a table of the single-label groups and one of the multi-label
    groups.

    Args:
        language: of the groups' names, "en" or "ko".

    Returns:
        str: lines of text; "-" where there is nothing to measure.
    """
    tables = []
    for kind, extra in _SHOWN.items():
        groups = [group for group in schema.groups if group.kind == kind]
        if not groups:
            continue
        keys = ("support", "temperature", "threshold", "nll_before", "nll_after", "ece_before", "ece_after", *extra)
        header = [f"{kind}-label group", *(key.replace("_", "\n") for key in keys)]
        formats = ["", ".0f", ".2f", ".3f", ".3f", ".3f", *[".1f"] * (2 + len(extra))]
        rows = [[group.text(language), *(_cell(report[group.name][key]) for key in keys)] for group in groups]
        tables.append(tabulate(rows, headers=header, tablefmt="simple", floatfmt=formats, missingval="-"))
    return "\n\n".join(tables)


def _cell(value: float) -> float | None:
    return None if math.isnan(value) else value
