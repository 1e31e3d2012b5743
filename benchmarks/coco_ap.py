"""Measure COCO's AP of boxes or masks beside packages with pycocotools' interface: time, memory, difference."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import pickle
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tabulate import tabulate

from kfashion_d2.evaluation.detection.coco_ap import coco_tables
from kfashion_d2.evaluation.detection.object_arrays import ObjectArrays

from .measure import memory_peak_since_reset, reset_memory_peak
from .objects import NUM_CATEGORIES, coco_header, draw_masks, draw_objects, to_coco
from .processes import run_alone

__all__ = ["add_arguments", "run"]

_OURS = "kfashion_d2"


class _Run(NamedTuple):
    seconds: float
    cpu_seconds: float
    memory: float  # MiB at most, beside what the process held before it
    stats: np.ndarray  # float64 (12,), COCO's numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--masks", action="store_true", help="masks, 4 to 10 an image, in place of boxes")
    parser.add_argument("--num", type=int, default=20_000, help="images (default: 20000)")
    parser.add_argument("--detections", type=int, default=20, help="boxes of each image (default: 20)")
    parser.add_argument(
        "--peers",
        nargs="*",
        default=["pycocotools", "hotcoco"],
        help="installed packages to measure beside, the first to compare with (default: pycocotools hotcoco)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, taking turns (default: 3)")


def run(args: argparse.Namespace) -> str:
    """Measure each package on the same drawn objects, in turn and in a process of its own, and return the table."""
    gt, dt = draw_masks(args.num) if args.masks else draw_objects(args.num, args.detections, 0)
    gt, dt = (replace(objects, attributes=None) for objects in (gt, dt))
    title = f"{args.num:,} images, {len(gt):,} garments, {len(dt):,} detections, {'masks' if args.masks else 'boxes'}"
    runs: dict[str, list[_Run]] = {package: [] for package in (_OURS, *args.peers)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "objects.pickle")
        with open(path, "wb") as file:
            pickle.dump((gt, dt), file, protocol=5)
        del gt, dt
        for number in range(args.repeats):
            for package in list(runs)[:: 1 - 2 * (number % 2)]:
                runs[package].append(run_alone(_measure, path, package)[0])
    return f"{title}\n{_table(runs, runs[args.peers[0] if args.peers else _OURS][0].stats)}"


def _table(runs: dict[str, list[_Run]], reference: np.ndarray) -> str:
    rows = [
        [
            package,
            *(statistics.median(run[i] for run in package_runs) for i in range(3)),
            f"{package_runs[0].stats[0]:.6f}",
            f"{max(np.abs(run.stats - reference).max() for run in package_runs):.0e}",
        ]
        for package, package_runs in runs.items()
    ]
    header = ["median of", "s", "CPU s", "MiB beside the data", "AP", "greatest difference of COCO's 12 numbers"]
    return tabulate(rows, headers=header, floatfmt=("", ",.1f", ",.1f", ",.0f"), disable_numparse=[4, 5])


def _measure(path: Path, package: str) -> _Run:
    with open(path, "rb") as file:
        gt, dt = pickle.load(file)
    classes = () if package == _OURS else _classes(package)
    gc.collect()
    before = reset_memory_peak()
    start, cpu = time.perf_counter(), time.process_time()
    stats = _evaluate_peer(gt, dt, *classes) if classes else _evaluate(gt, dt)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return _Run(seconds, cpu_seconds, memory_peak_since_reset() - before, np.asarray(stats, dtype=np.float64))


def _evaluate(gt: ObjectArrays, dt: ObjectArrays) -> np.ndarray:
    if dt.masks is not None:
        dt = replace(dt, areas=dt.masks.areas())  # the peers measure them too
    return coco_tables(gt, dt, NUM_CATEGORIES).stats


def _classes(package: str) -> tuple[Any, Any]:
    """Return the package's COCO and COCOeval, which may have a longer name."""
    if package == "pycocotools":
        return import_module("pycocotools.coco").COCO, import_module("pycocotools.cocoeval").COCOeval
    module = import_module(package)
    return module.COCO, getattr(module, next(name for name in sorted(dir(module)) if name.startswith("COCOeval")))


def _evaluate_peer(gt: ObjectArrays, dt: ObjectArrays, COCO: Any, COCOeval: Any) -> Sequence[float]:
    """Evaluate by a peer, all at once; to make what it reads is part of the work."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = (_from_columns if hasattr(COCO, "from_arrays") else _from_dicts)(gt, dt, COCO)
        evaluation = COCOeval(truth, results, "bbox" if gt.masks is None else "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def _from_dicts(gt: ObjectArrays, dt: ObjectArrays, COCO: Any) -> tuple[Any, Any]:
    truth = COCO()
    truth.dataset, results = to_coco(gt, dt)
    truth.createIndex()
    return truth, truth.loadRes(results)


def _from_columns(gt: ObjectArrays, dt: ObjectArrays, COCO: Any) -> tuple[Any, Any]:
    """Hand over columns, as hotcoco takes them, in place of most dicts."""
    header = coco_header(1 + int(max(gt.images.max(), dt.images.max())))
    gt_masks, dt_masks = (None if objects.masks is None else list(objects.masks) for objects in (gt, dt))
    truth = COCO.from_arrays(
        header["images"],
        header["categories"],
        gt.images + 1,
        gt.categories,
        gt.boxes,
        area=gt.areas,
        iscrowd=gt.crowd,
        segmentation=gt_masks,
    )
    rows = np.column_stack([dt.images + 1, dt.boxes, dt.scores, dt.categories])
    results = truth.load_res(rows, segmentation=dt_masks)
    if dt.masks is not None:
        results.update_anns(ids=np.arange(1, len(dt) + 1), area=dt.masks.areas())
    return truth, results
