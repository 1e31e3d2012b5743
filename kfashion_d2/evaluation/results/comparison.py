"""
This module compares runs: the differences of their metrics from the first run's, and whether they are more than chance.

Two ways to tell. Paired: both runs' predictions are there, and the bootstrap draws the same images for both, so that
what makes an image hard falls out of the difference. Otherwise from the two intervals, as if the runs had nothing in
common (MOVER, Zou and Donner, Stat. Med. 2008): on the same images that asks for more than is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.bootstrap import bootstrap_metrics
from ..evaluate import evaluate_predictions
from ..predictions.core import Predictions
from ..predictions.file import read_predictions
from .metrics_file import flat_metrics, metrics_document, read_metrics

__all__ = ["Comparison", "Difference", "Run", "compare_runs", "load_run", "name_runs"]

PAIRED, INTERVALS = "paired bootstrap", "intervals of both runs"


@dataclass
class Run:
    """
    A run is an evaluation that was read from files.

    Attributes:
        name: what it is called.
        path: where it was read from.
        document: of :func:`metrics_document` or :func:`read_metrics`.
        predictions: where they are at hand.
    """

    name: str
    path: Path
    document: dict[str, Any]
    predictions: Predictions | None = None


@dataclass(frozen=True)
class Difference:
    """
    A difference of one metric is a run's value less the first run's.

    Attributes:
        value: percent; NaN where either has none.
        low, high: its interval; NaN where there is none.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def exceeds(self) -> bool | None:
        """Say whether 0 lies outside the interval; None where there is none."""
        return None if math.isnan(self.low) else not self.low <= 0 <= self.high


@dataclass
class Comparison:
    """
    A comparison has several runs, and how they differ from the first.

    Attributes:
        runs: the first is what the others are compared with.
        values: flat name -> a value for each run, NaN where it has none.
        differences: for each run but the first flat name -> Difference.
        methods: for each run but the first, how its intervals were made; empty: there are none.
        notes: what to know when reading it.
        confidence: share of the replicates inside the intervals.
    """

    runs: list[Run]
    values: dict[str, list[float]]
    differences: list[dict[str, Difference]]
    methods: list[str]
    notes: list[str] = field(default_factory=list)
    confidence: float = 0.95


def load_run(path: str | Path) -> Run:
    """
    Read a run.

    Args:
        path: a folder of ``tools/evaluate.py``, a ``metrics.json`` or a ``predictions.parquet``. A predictions file in
            the folder, or beside the file, comes with it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another file.
    """
    path = Path(path)
    name = path.resolve().name if path.is_dir() else path.resolve().parent.name
    if path.suffix == ".parquet":
        predictions = read_predictions(path)
        return Run(name, path, metrics_document(predictions, evaluate_predictions(predictions)), predictions)
    document = read_metrics(path)
    beside = (path if path.is_dir() else path.parent) / "predictions.parquet"
    return Run(name, path, document, read_predictions(beside) if beside.is_file() else None)


def name_runs(runs: Sequence[Run]) -> None:
    """Give runs of the same name a number."""
    taken: set[str] = set()
    for run in runs:
        base, number = run.name, 1
        while run.name in taken:
            number += 1
            run.name = f"{base} ({number})"
        taken.add(run.name)


def _paired_rows(first: Predictions, second: Predictions) -> tuple[np.ndarray, np.ndarray] | str:
    """Find the rows of the images that both have; or say why the two cannot be paired."""
    if first.schema.hash != second.schema.hash or first.info.classes != second.info.classes:
        return "they have different vocabularies or classes"
    _, rows, other_rows = np.intersect1d(first.image_ids, second.image_ids, return_indices=True)
    if not len(rows):
        return "they have no image in common"
    a, b = first.select(rows), second.select(other_rows)
    same = np.array_equal(a.gt_offsets, b.gt_offsets) and np.array_equal(a.gt_boxes, b.gt_boxes)
    if not (same and np.array_equal(a.gt_classes, b.gt_classes) and np.array_equal(a.gt_targets, b.gt_targets)):
        return "the same images have different ground truth"
    return rows, other_rows


def paired_differences(
    first: Predictions,
    second: Predictions,
    *,
    iou_thresholds: tuple[float, float] = (0.5, 0.5),
    replicates: int = 500,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Difference]:
    """
    Compare two models on the same images in the same order with the same ground truth: the headline metrics'
    differences, second less first, with the percentiles of the replicates' differences, moved so that their median lies
    on the difference.

    Args:
        iou_thresholds: of the matching in each.
    """
    values, samples = [], []
    for predictions, iou in zip((first, second), iou_thresholds, strict=True):
        evaluation = evaluate_predictions(predictions, iou_threshold=iou)
        values.append(flat_metrics(evaluation.metrics))
        samples.append(bootstrap_metrics(predictions, evaluation, replicates, seed) if replicates else {})
    tails = 100 * (1 - confidence) / 2
    differences = {}
    for name in values[0]:
        if name not in values[1]:
            continue
        value = values[1][name] - values[0][name]
        differences[name] = Difference(value)
        if name in samples[0] and name in samples[1] and not math.isnan(value):
            replicate_differences = samples[1][name] - samples[0][name]
            kept = replicate_differences[~np.isnan(replicate_differences)]
            if 2 * len(kept) >= replicates and len(kept):
                low, middle, high = np.percentile(kept, [tails, 50, 100 - tails])
                differences[name] = Difference(value, float(value + low - middle), float(value + high - middle))
    return differences


def independent_difference(
    value: float, interval: Sequence[float] | None, other: float, other_interval: Sequence[float] | None
) -> Difference:
    """Compute `other` less `value`, from the interval of each; without an interval where either has none."""
    ends = [math.nan if x is None else x for x in (*(interval or (None, None)), *(other_interval or (None, None)))]
    if any(math.isnan(x) for x in (value, other, *ends)):
        return Difference(other - value)
    low, high, other_low, other_high = ends
    difference = other - value
    below = math.hypot(other - other_low, high - value)
    above = math.hypot(other_high - other, value - low)
    return Difference(difference, difference - below, difference + above)


def _is_measured(name: str) -> bool:
    """Say whether a name is a percentage, not a count of something."""
    return name.rpartition("/")[2] not in ("support", "garments", "matched", "labels")


def compare_runs(runs: Sequence[Run], *, replicates: int = 500, seed: int = 0, confidence: float = 0.95) -> Comparison:
    """
    Compare runs with the first of them.

    Args:
        runs: two or more; the first is what the others are compared with.
        replicates: of the paired bootstrap; 0: the runs' own intervals.
        seed: of the images that it draws.
        confidence: share of the replicates inside; the runs' own intervals are as they are.

    Raises:
        ValueError: fewer than two runs, or a confidence that is not between 0 and 1.
    """
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} run to compare: give two or more")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence}: it must be between 0 and 1")
    runs = list(runs)
    names = dict.fromkeys(name for run in runs for name in run.document["metrics"])
    values = {name: [run.document["metrics"].get(name, math.nan) for run in runs] for name in names}
    result = Comparison(runs, values, [], [], confidence=confidence)
    first = runs[0]
    for position, run in enumerate(runs[1:], start=1):
        for key, what in (("dataset", "data sets"), ("schema_hash", "vocabularies"), ("classes", "classes")):
            if first.document.get(key) != run.document.get(key):
                result.notes.append(
                    f"{first.name} and {run.name} have different {what}: "
                    f"{first.document.get(key)} and {run.document.get(key)}"
                )
        differences, method = _differences(first, run, values, position, replicates, seed, confidence, result.notes)
        result.differences.append(differences)
        result.methods.append(method)
    return result


def _differences(
    first: Run,
    run: Run,
    values: Mapping[str, Sequence[float]],
    position: int,
    replicates: int,
    seed: int,
    confidence: float,
    notes: list[str],
) -> tuple[dict[str, Difference], str]:
    if first.predictions is not None and run.predictions is not None and replicates:
        rows = _paired_rows(first.predictions, run.predictions)
        if not isinstance(rows, str):
            a, b = first.predictions.select(rows[0]), run.predictions.select(rows[1])
            if max(first.predictions.num_images, run.predictions.num_images) > a.num_images:
                notes.append(
                    f"{first.name} and {run.name}: the differences are those on the {a.num_images} images in both, "
                    "the values beside them those on all of each run"
                )
            thresholds = (first.document["iou_threshold"], run.document["iou_threshold"])
            differences = paired_differences(
                a.with_info(threshold=first.document["threshold"]),  # as they were measured
                b.with_info(threshold=run.document["threshold"]),
                iou_thresholds=thresholds,
                replicates=replicates,
                seed=seed,
                confidence=confidence,
            )
            return {name: x for name, x in differences.items() if _is_measured(name)}, PAIRED
        notes.append(f"{first.name} and {run.name} cannot be paired: {rows}")
    intervals = [r.document.get("intervals") or {} for r in (first, run)]
    differences = {
        name: independent_difference(
            run_values[0], intervals[0].get(name), run_values[position], intervals[1].get(name)
        )
        for name, run_values in values.items()
        if _is_measured(name)
    }
    return differences, INTERVALS if any(x.exceeds is not None for x in differences.values()) else ""
