"""COCO's AP of boxes: one category at a time at scale, and beside pycocotools on fewer images."""

from __future__ import annotations

import argparse
import contextlib
import io
import time

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from ..evaluation.coco_ap import coco_tables, default_backend
from .measure import peak_memory
from .objects import NUM_CATEGORIES, draw_objects, to_coco

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num", type=int, default=120_000, help="images, alone (default: 120000)")
    parser.add_argument("--detections", type=int, default=20, help="of each image (default: 20)")
    parser.add_argument("--peer-num", type=int, default=2_000, help="images, beside pycocotools (default: 2000)")


def run(args: argparse.Namespace) -> str:
    """The tables, as text."""
    texts = [_beside_pycocotools(args.peer_num, args.detections)] if args.peer_num else []
    if args.num:
        texts.append(_alone(args.num, args.detections))
    return "\n\n".join(texts)


def _beside_pycocotools(num: int, detections: int) -> str:
    gt, dt = draw_objects(num, detections, 0)
    start = time.process_time()
    ours = coco_tables(gt, dt, NUM_CATEGORIES)
    seconds = time.process_time() - start
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
        [f"{default_backend()}, one category at a time, CPU ms an image", 1e3 * seconds / num],
        ["pycocotools, all at once, CPU ms an image", 1e3 * peer / num],
        ["times faster", peer / seconds],
        ["greatest difference of the 12 numbers", f"{np.abs(ours.stats - evaluation.stats).max():.1e}"],
    ]
    return tabulate(rows, headers=[f"{num:,} images x {detections} detections", ""], floatfmt=",.2f")


def _alone(num: int, detections: int) -> str:
    gt, dt = draw_objects(num, detections, 0)
    before = peak_memory()
    start, wall = time.process_time(), time.perf_counter()
    tables = coco_tables(gt, dt, NUM_CATEGORIES)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    rows = [
        [f"CPU seconds ({default_backend()})", seconds],
        ["seconds", wall],
        ["peak memory of the process, MiB", peak_memory()],
        ["peak memory before it, MiB (the drawn data)", before],
        ["AP, AP50, AP75", " ".join(f"{value:.3f}" for value in tables.stats[:3])],
    ]
    title = f"{num:,} images x {detections} detections, {NUM_CATEGORIES} categories"
    return tabulate(rows, headers=[title, ""], floatfmt=",.1f")
