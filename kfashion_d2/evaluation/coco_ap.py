"""
COCO's AP and AR of boxes or masks, from arrays, one category at a time.

faster-coco-eval does the work where it is installed (``pip install "kfashion_d2[coco]"``), pycocotools elsewhere; the
numbers are the same. Categories do not touch each other in COCO's AP, so that taking one at a time changes nothing but
the memory: dicts of one category exist at a time, not of all.

Shapes: T IoU thresholds, R recall thresholds, K categories, A area ranges, M limits of detections.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .object_arrays import ObjectArrays

__all__ = ["BACKENDS", "CocoTables", "coco_tables", "default_backend"]

BACKENDS = ("faster-coco-eval", "pycocotools")

_SHAPE = {"iou": 10, "recall": 101, "areas": 4}


@dataclass
class CocoTables:
    """
    What a whole run of COCOeval leaves.

    Attributes:
        precision: float64 (T, R, K, A, M); -1 where there is nothing to find.
        recall: float64 (T, K, A, M); -1 likewise.
    """

    precision: np.ndarray
    recall: np.ndarray

    @property
    def eval(self) -> dict[str, np.ndarray]:
        """The same under the names of COCOeval."""
        return {"precision": self.precision, "recall": self.recall}

    @property
    def stats(self) -> np.ndarray:
        """
        float64 (12,), 0 to 1 or -1: AP, AP50, AP75, APs, APm, APl; AR with the three limits; ARs, ARm, ARl. All but
        the first two ARs are with the last limit.
        """
        ap = self.precision[..., -1]
        ar = self.recall[..., -1]
        return np.array(
            [
                _mean(ap[..., 0]),
                _mean(ap[0, ..., 0]),
                _mean(ap[5, ..., 0]),
                *(_mean(ap[..., area]) for area in (1, 2, 3)),
                *(_mean(self.recall[:, :, 0, limit]) for limit in range(3)),
                *(_mean(ar[..., area]) for area in (1, 2, 3)),
            ]
        )


def _mean(values: np.ndarray) -> float:
    kept = values[values > -1]
    return float(kept.mean()) if kept.size else -1.0


def default_backend() -> str:
    """The first of BACKENDS that is installed."""
    try:
        import faster_coco_eval  # noqa: F401
    except ImportError:  # absent, or built for another machine
        return BACKENDS[1]
    return BACKENDS[0]


def coco_tables(
    gt: ObjectArrays,
    dt: ObjectArrays,
    num_categories: int,
    *,
    max_dets: Sequence[int] = (1, 10, 100),
    categories: Iterable[int] | None = None,
    backend: str | None = None,
) -> CocoTables:
    """
    Args:
        gt: with `masks` to compare masks, without to compare boxes; `crowd` where there are regions in which
            detections of the region's category are excused.
        dt: with `scores`, and `masks` where `gt` has them; `areas` are what small, medium and large go by. Equal
            scores count in the order given.
        num_categories: K.
        max_dets: the three limits of detections an image and category, ascending.
        categories: evaluate only these; the others stay -1.
        backend: one of BACKENDS; None: :func:`default_backend`.

    Raises:
        ValueError: there is no such backend, or not three limits.
    """
    backend = backend or default_backend()
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; choose one of {', '.join(BACKENDS)}")
    if len(max_dets) != 3 or sorted(max_dets) != list(max_dets):
        raise ValueError(f"max_dets is {max_dets}; give three limits, ascending")
    shape = (_SHAPE["iou"], num_categories, _SHAPE["areas"], len(max_dets))
    tables = CocoTables(
        precision=np.full((shape[0], _SHAPE["recall"], *shape[1:]), -1.0),
        recall=np.full(shape, -1.0),
    )
    gt_order, dt_order = (np.argsort(objects.categories, kind="stable") for objects in (gt, dt))
    bounds = np.arange(num_categories + 1)
    gt_starts = np.searchsorted(gt.categories[gt_order], bounds)
    dt_starts = np.searchsorted(dt.categories[dt_order], bounds)
    for category in range(num_categories) if categories is None else categories:
        truth = gt.take(gt_order[gt_starts[category] : gt_starts[category + 1]])
        if not len(truth) or (truth.crowd is not None and truth.crowd.all()):
            continue  # nothing to find
        found = dt.take(_best(dt, dt_order[dt_starts[category] : dt_starts[category + 1]], max_dets[-1]))
        result = _evaluate(backend, truth, found, max_dets)
        tables.precision[:, :, category] = result["precision"][:, :, 0]
        tables.recall[:, category] = result["recall"][:, 0]
    return tables


def _best(dt: ObjectArrays, rows: np.ndarray, limit: int) -> np.ndarray:
    """By image, then by falling score, at most `limit` of an image: what COCO looks at, in its order."""
    order = rows[np.lexsort((-dt.scores[rows], dt.images[rows]))]
    images = dt.images[order]
    first = np.searchsorted(images, images)
    return order[np.arange(len(order)) - first < limit]


def _evaluate(backend: str, gt: ObjectArrays, dt: ObjectArrays, max_dets: Sequence[int]) -> dict[str, np.ndarray]:
    if backend == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    else:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as COCOeval
    images = np.union1d(gt.images, dt.images) + 1
    # The sizes are only asked for, never used: masks bring theirs.
    dataset = {
        "images": [{"id": i, "height": 0, "width": 0} for i in images.tolist()],
        "categories": [{"id": 1, "name": ""}],
    }
    level = logging.getLogger("faster_coco_eval").level
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            sides = []
            for objects in (gt, dt):
                side = COCO()
                side.dataset = {**dataset, "annotations": _dicts(objects)}
                side.createIndex()
                sides.append(side)
            evaluation = COCOeval(*sides, "bbox" if gt.masks is None else "segm")
            evaluation.params.maxDets = list(max_dets)
            evaluation.evaluate()
            evaluation.accumulate()
    finally:
        logging.getLogger("faster_coco_eval").setLevel(level)
    return {name: np.asarray(evaluation.eval[name]) for name in ("precision", "recall")}


def _dicts(objects: ObjectArrays) -> list[dict[str, Any]]:
    count = len(objects)
    crowd = [0] * count if objects.crowd is None else objects.crowd.astype(int).tolist()
    scores = [0.0] * count if objects.scores is None else objects.scores.tolist()
    columns = (objects.images.tolist(), objects.boxes.tolist(), objects.areas.tolist(), crowd, scores)
    annotations = [
        {
            "id": number,
            "image_id": image + 1,
            "category_id": 1,
            "bbox": box,
            "area": area,
            "iscrowd": is_crowd,
            "score": score,
        }
        for number, (image, box, area, is_crowd, score) in enumerate(zip(*columns, strict=True), start=1)
    ]
    if objects.masks is not None:
        for anno, mask in zip(annotations, objects.masks, strict=True):
            anno["segmentation"] = mask
    return annotations
