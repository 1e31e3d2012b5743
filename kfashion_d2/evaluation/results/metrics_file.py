"""
This module reads and writes ``metrics.json``: the numbers of an evaluation under flat, stable names. docs/evaluation.md
has the format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...utils.files import write_file
from ..evaluate import Evaluation
from ..predictions.core import Predictions

__all__ = ["METRICS_VERSION", "flat_metrics", "metrics_document", "metrics_text", "read_metrics", "write_metrics"]

METRICS_VERSION = 1


def flat_metrics(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Turn task -> name -> value into "task/name" -> value."""
    return {f"{task}/{name}": float(value) for task, values in metrics.items() for name, value in values.items()}


def metrics_document(
    predictions: Predictions,
    evaluation: Evaluation,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    bootstrap: Mapping[str, Any] | None = None,
    errors: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Put together the content of ``metrics.json``.

    Args:
        predictions, evaluation: what was evaluated, and how.
        intervals: flat name -> the low and high end of its confidence interval.
        bootstrap: how they were made; plain values.
        errors: of :func:`error_summary`.

    Returns:
        dict: the file's content, with NaN where there is nothing to measure.
    """
    info = predictions.info
    flat = flat_metrics(evaluation.metrics)
    return {
        "version": METRICS_VERSION,
        "dataset": info.dataset,
        "classes": info.classes,
        "schema_hash": info.schema.hash,
        "model": dict(info.model),
        "images": predictions.num_images,
        "garments": predictions.num_garments,
        "detections": predictions.num_detections,
        "iou_threshold": evaluation.iou_threshold,
        "threshold": info.threshold if isinstance(info.threshold, (int, float)) else dict(info.threshold),
        "metrics": flat,
        "intervals": {name: list(ends) for name, ends in (intervals or {}).items()},
        "bootstrap": None if bootstrap is None else dict(bootstrap),
        "support": {
            name.removesuffix("/support"): int(value) for name, value in flat.items() if name.endswith("/support")
        },
        "errors": None if errors is None else dict(errors),
        "labels": {task: table.rows() for task, table in evaluation.tables.items()},
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(x) for name, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def metrics_text(document: Mapping[str, Any]) -> str:
    """
    Write a :func:`metrics_document`, or other numbers, as JSON, which has no NaN and no infinity: they become null.
    """
    return json.dumps(_without_nan(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_metrics(document: Mapping[str, Any], path: str | Path) -> None:
    """Write :func:`metrics_text` to a file of this machine, which takes its name when it is complete."""
    write_file(path, metrics_text(document).encode())


def read_metrics(path: str | Path) -> dict[str, Any]:
    """
    Read a ``metrics.json``; a value that could not be measured is NaN again.

    Args:
        path: the file, or the folder that it lies in.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is another file, or one of another version.
    """
    path = Path(path)
    path = path / "metrics.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"no {path}; tools/evaluate.py writes one")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:  # training's metrics.json has a document on each line
        raise ValueError(f"{path} is not a metrics.json of tools/evaluate.py: {error}") from error
    if not isinstance(document, dict) or "metrics" not in document:
        raise ValueError(f"{path} is not a metrics.json of tools/evaluate.py: it has no 'metrics'")
    if document.get("version") != METRICS_VERSION:
        raise ValueError(f"{path} has version {document.get('version')}, this program reads {METRICS_VERSION}")
    document["metrics"] = {name: math.nan if x is None else x for name, x in document["metrics"].items()}
    return document
