"""Measure the evaluation of drawn predictions, step by step: all that comes after the model, then the bootstrap."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tabulate import tabulate

from kfashion_d2.evaluation import (
    bootstrap_metrics,
    error_summary,
    evaluate_predictions,
    find_suspects,
    metrics_document,
    read_predictions,
    write_metrics,
    write_predictions,
)
from kfashion_d2.evaluation.attributes.group_metrics import detailed_metrics
from kfashion_d2.evaluation.detection.prediction_ap import coco_metrics, iou_f1_metrics
from kfashion_d2.evaluation.evaluate import match_predictions, task_rows

from .measure import peak_memory
from .predictions import make_predictions

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num", type=int, default=120_000, help="images (default: 120000)")
    parser.add_argument("--detections", type=int, default=20, help="of each image (default: 20)")
    parser.add_argument("--bootstrap", type=int, default=0, help="replicates, timed apart (default: 0, none)")
    parser.add_argument("--folder", help="where to write the files (default: a temporary folder)")


def _draw(num: int, detections: int, path: Path) -> tuple[str, float, float]:
    """Draw and write predictions, in a process of its own: the memory of drawing is not that of evaluating."""
    predictions = make_predictions(num, detections_per_image=detections)
    title = (
        f"{num:,} images, {predictions.num_detections:,} detections, {predictions.num_garments:,} garments, "
        f"{predictions.schema.num_labels} labels"
    )
    cpu, wall = time.process_time(), time.perf_counter()
    write_predictions(predictions, path)
    return title, time.process_time() - cpu, time.perf_counter() - wall


def run(args: argparse.Namespace) -> str:
    """Measure every step, and return a table."""
    rows: list[list[Any]] = []

    def timed(name: str, function: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        result = function()
        rows.append([name, time.process_time() - cpu, time.perf_counter() - wall, peak_memory()])
        return result

    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder, "predictions.parquet")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            title, *seconds = pool.submit(_draw, args.num, args.detections, path).result()
        rows.append(["write predictions.parquet", *seconds, None])
        size = path.stat().st_size / 2**20
        p = timed("read it", lambda: read_predictions(path))
        matches = {
            task: timed(f"match, {what}", lambda task=task: match_predictions(p, class_agnostic=task != "attributes"))
            for task, what in (("attributes", "by class"), ("attributes_class_agnostic", "any class"))
        }
        for task in (*matches, "attributes_gt_boxes"):
            _, scores, targets = timed(f"take the rows of {task}", lambda task=task: task_rows(p, task, matches))
            arguments = scores, targets, p.schema, p.info.threshold, p.info.label_counts
            timed(f"metrics of {task}", lambda arguments=arguments: detailed_metrics(*arguments))
            del scores, targets, arguments
        timed("COCO AP of boxes, twice (with and without ignore regions)", lambda: coco_metrics(p))
        timed("AP at IoU and F1", lambda: iou_f1_metrics(p))
        errors = timed("error analysis", lambda: error_summary(p))
        timed("label noise suspects", lambda: find_suspects(p))
        evaluation = evaluate_predictions(p, coco=False)
        document = metrics_document(p, evaluation, errors=errors)
        timed("write metrics.json", lambda: write_metrics(document, Path(folder, "metrics.json")))
        total = [sum(row[i] for row in rows) for i in (1, 2)]
        rows.append(["all of these", *total, peak_memory()])
        if args.bootstrap:
            timed(f"bootstrap, {args.bootstrap} replicates", lambda: bootstrap_metrics(p, evaluation, args.bootstrap))
    text = tabulate(rows, headers=[title, "CPU s", "s", "peak MiB"], floatfmt=",.1f")
    return f"{text}\n\nThe file has {size:,.0f} MiB."
