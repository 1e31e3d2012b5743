"""Measure AP at IoU and F1 beside the fashionpedia package at its own scale, and alone on 120,000 images."""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import io
import os
import statistics
import time
import warnings
from typing import Any

import numpy as np
from tabulate import tabulate

from kfashion_d2.evaluation.detection.iou_f1 import evaluate_iou_f1
from kfashion_d2.evaluation.detection.iou_f1_arrays import iou_f1_tables

from .measure import peak_memory
from .objects import NUM_CATEGORIES, draw_objects, to_coco

__all__ = ["add_arguments", "run", "run_fashionpedia"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num", type=int, default=120_000, help="images, alone (default: 120000)")
    parser.add_argument("--detections", type=int, default=20, help="of each image (default: 20)")
    parser.add_argument("--peer-num", type=int, default=300, help="images, beside the package (default: 300)")
    parser.add_argument("--peer-detections", type=int, default=15, help="of each image (default: 15)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, interleaved (default: 3)")


def run(args: argparse.Namespace) -> str:
    """Measure both, and return the tables."""
    texts = []
    if not args.peer_num or importlib.util.find_spec("fashionpedia") is None:
        texts.append("beside the package: left out (pip install fashionpedia==1.1)")
    else:
        texts.append(_beside_the_package(args.peer_num, args.peer_detections, args.repeats))
    if args.num:
        texts.append(_alone(args.num, args.detections))
    return "\n\n".join(texts)


def run_fashionpedia(
    gt: dict[str, Any],
    dt: list[dict[str, Any]],
    iou_type: str = "bbox",
    f1_type: str = "binary_macro",
    categories_with_attributes: Any = None,
) -> dict[str, dict[str, float]]:
    """
    Compute the metric with ``fashionpedia`` 1.1, under the keys of :func:`evaluate_iou_f1`; NumPy gets its ``float``
    back, which the package uses.
    """
    if not hasattr(np, "float"):
        np.float = float  # type: ignore[attr-defined]
    from fashionpedia.fp import Fashionpedia
    from fashionpedia.fp_eval import FPEval

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = Fashionpedia()
        truth.dataset = copy.deepcopy(gt)
        truth.createIndex()
        evaluation = FPEval(truth, truth.loadRes(copy.deepcopy(dt)), iou_type)
        evaluation.FPParams.f1Type = f1_type
        if categories_with_attributes is not None:
            evaluation.FPParams.catsWithAttributes = list(categories_with_attributes)
        evaluation.run()
    return {"iou_f1": evaluation.results, "iou": evaluation.resultDet, "f1": evaluation.resultF1}


def _beside_the_package(num: int, detections: int, repeats: int) -> str:
    gt, dt = to_coco(*draw_objects(num, detections, 294, num_categories=46), num_categories=46, num_attributes=294)
    ours, theirs, difference = [], [], 0.0
    for _ in range(repeats):
        start = time.process_time()
        results = evaluate_iou_f1(gt, dt)
        ours.append(time.process_time() - start)
        start = time.process_time()
        peer_results = run_fashionpedia(gt, dt)
        theirs.append(time.process_time() - start)
        for kind, values in peer_results.items():
            difference = max([difference, *(abs(value - results[kind][row]) for row, value in values.items())])
    ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
    rows = [
        ["fashionpedia 1.1, CPU ms an image", 1e3 * statistics.median(theirs) / num],
        ["kfashion_d2, CPU ms an image", 1e3 * statistics.median(ours) / num],
        ["times faster, median", statistics.median(ratios)],
        ["times faster, worst", min(ratios)],
        ["greatest difference of a row", f"{difference:.1e}"],
    ]
    title = f"{num:,} images x {detections} detections, 46 categories, 294 attributes, {repeats} runs"
    return tabulate(rows, headers=[title, ""], floatfmt=",.2f")


def _alone(num: int, detections: int) -> str:
    gt, dt = draw_objects(num, detections)
    before = peak_memory()
    start, wall = time.process_time(), time.perf_counter()
    tables = iou_f1_tables(gt, dt, num_categories=NUM_CATEGORIES, num_attributes=174)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    summary = tables.summary()
    rows = [
        ["CPU seconds", seconds],
        ["seconds", wall],
        ["peak memory of the process, MiB", peak_memory()],
        ["peak memory before it, MiB (the drawn data)", before],
        ["AP, AP_IOU50, AP_F150", " ".join(f"{summary['iou_f1'][k]:.3f}" for k in ("AP", "AP_IOU50", "AP_F150"))],
        ["cores", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()],
    ]
    title = f"{num:,} images x {detections} detections, {NUM_CATEGORIES} categories, 174 attributes"
    return tabulate(rows, headers=[title, ""], floatfmt=",.1f")
