"""COCO's AP of boxes: by every backend at scale, and beside one run of pycocotools on fewer images."""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from kfashion_d2.evaluation.detection.coco_ap import BACKENDS, coco_tables, default_backend

from .measure import peak_memory
from .objects import NUM_CATEGORIES, draw_objects, to_coco

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num", type=int, default=120_000, help="images, alone (default: 120000)")
    parser.add_argument("--detections", type=int, default=20, help="of each image (default: 20)")
    parser.add_argument("--backends", nargs="+", default=["arrays", default_backend()], help="to measure alone")
    parser.add_argument("--peer-num", type=int, default=2_000, help="images, beside pycocotools (default: 2000)")


def run(args: argparse.Namespace) -> str:
    """The tables, as text."""
    texts = [_beside_pycocotools(args.peer_num, args.detections)] if args.peer_num else []
    if args.num:
        texts.append(_alone(args.num, args.detections, args.backends))
    return "\n\n".join(texts)


def _beside_pycocotools(num: int, detections: int) -> str:
    gt, dt = draw_objects(num, detections, 0)
    ours = {}
    for backend in BACKENDS if default_backend() == BACKENDS[0] else BACKENDS[1:]:
        start = time.process_time()
        stats = coco_tables(gt, dt, NUM_CATEGORIES, backend=backend).stats
        ours[backend] = time.process_time() - start, stats
    truth, results = to_coco(gt, dt)
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    peer = time.process_time() - start
    rows = [
        [backend, 1e3 * seconds / num, peer / seconds, f"{np.abs(stats - evaluation.stats).max():.1e}"]
        for backend, (seconds, stats) in ours.items()
    ]
    rows.append(["pycocotools, all at once", 1e3 * peer / num, 1.0, "0"])
    header = [f"{num:,} images x {detections} detections", "CPU ms an image", "times faster", "greatest difference"]
    return tabulate(rows, headers=header, floatfmt=",.2f")


def _alone(num: int, detections: int, backends: list[str]) -> str:
    """Each backend in a process of its own, for its peak."""
    rows = []
    for backend in backends:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append([backend, *pool.submit(_measure, num, detections, backend).result()])
    header = ["backend", "CPU s", "peak MiB", "MiB of it drawn data", "AP"]
    title = f"{num:,} images x {detections} detections, {NUM_CATEGORIES} categories\n"
    return title + tabulate(rows, headers=header, floatfmt=",.1f")


def _measure(num: int, detections: int, backend: str) -> tuple[float, float, float, str]:
    gt, dt = draw_objects(num, detections, 0)
    before = peak_memory()
    start = time.process_time()
    tables = coco_tables(gt, dt, NUM_CATEGORIES, backend=backend)
    return time.process_time() - start, peak_memory(), before, f"{tables.stats[0]:.6f}"
