"""
COCO's AP and AR of boxes or masks, from arrays, one category at a time.

faster-coco-eval does the work where it is installed (``pip install "kfashion_d2[coco]"``), pycocotools elsewhere, and
our own matching above LARGE detections; the numbers are the same. Categories do not touch each other in COCO's AP, so
that taking one at a time changes nothing but the memory: dicts of one category exist at a time, not of all.

Shapes: T = 10 IoU thresholds, K categories, A = 4 area ranges.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .iou_f1_arrays import iou_f1_tables
from .object_arrays import ObjectArrays

__all__ = ["BACKENDS", "LARGE", "CocoTables", "coco_tables", "default_backend"]

BACKENDS = ("faster-coco-eval", "pycocotools", "arrays")

LARGE = 500_000

_LIMITS = (1, 10, 100)


@dataclass
class CocoTables:
    """
    What COCO's numbers are means of; -1 where there is nothing to find.

    Attributes:
        ap: float64 (T, K, A), average precision over the 101 recall thresholds, with the last limit of detections.
        recall: float64 (T, K, A), with the last limit.
        recall_at: float64 (2, T, K), with the first and with the second limit, of all areas.
    """

    ap: np.ndarray
    recall: np.ndarray
    recall_at: np.ndarray

    @classmethod
    def empty(cls, num_categories: int) -> CocoTables:
        shape = (10, num_categories, 4)
        return cls(np.full(shape, -1.0), np.full(shape, -1.0), np.full((2, *shape[:2]), -1.0))

    def put(self, categories: Sequence[int], other: CocoTables) -> None:
        """Take what another has of some categories."""
        self.ap[:, categories], self.recall[:, categories] = other.ap[:, categories], other.recall[:, categories]
        self.recall_at[:, :, categories] = other.recall_at[:, :, categories]

    @property
    def precision(self) -> np.ndarray:
        """float64 (T, 1, K, A, 1): as COCOeval has it, the mean over its recall thresholds in place of them."""
        return self.ap[:, None, :, :, None]

    @property
    def eval(self) -> dict[str, np.ndarray]:
        """What Detectron2 reads."""
        return {"precision": self.precision}

    @property
    def stats(self) -> np.ndarray:
        """
        float64 (12,), 0 to 1 or -1: AP, AP50, AP75, APs, APm, APl; AR with the three limits; ARs, ARm, ARl. All but
        the first two ARs are with the last limit.
        """
        return np.array(
            [
                _mean(self.ap[..., 0]),
                _mean(self.ap[0, :, 0]),
                _mean(self.ap[5, :, 0]),
                *(_mean(self.ap[..., area]) for area in (1, 2, 3)),
                *(_mean(recall) for recall in self.recall_at),
                *(_mean(self.recall[..., area]) for area in (0, 1, 2, 3)),
            ]
        )


def _mean(values: np.ndarray) -> float:
    kept = values[values > -1]
    return float(kept.mean()) if kept.size else -1.0


def default_backend(num_detections: int = 0, max_dets: Sequence[int] = _LIMITS) -> str:
    """
    faster-coco-eval where it is installed, or pycocotools; above LARGE detections "arrays", the matching of
    :mod:`.iou_f1_arrays` without attributes, which takes seconds where the libraries take minutes.
    """
    if num_detections > LARGE and tuple(max_dets) == _LIMITS:
        return "arrays"
    try:
        import faster_coco_eval  # noqa: F401
    except ImportError:  # absent, or built for another machine
        return "pycocotools"
    return "faster-coco-eval"


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
        backend: one of BACKENDS, all of which give the same numbers; None: :func:`default_backend`.

    Raises:
        ValueError: there is no such backend, not three limits, or other limits than 1, 10, 100 for "arrays".
    """
    backend = backend or default_backend(len(dt), max_dets)
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; choose one of {', '.join(BACKENDS)}")
    if len(max_dets) != 3 or sorted(max_dets) != list(max_dets):
        raise ValueError(f"max_dets is {max_dets}; give three limits, ascending")
    wanted = range(num_categories) if categories is None else sorted(set(categories))
    if backend == "arrays":
        return _from_arrays(gt, dt, num_categories, max_dets, wanted)
    tables = CocoTables.empty(num_categories)
    gt_order, dt_order = (np.argsort(objects.categories, kind="stable") for objects in (gt, dt))
    bounds = np.arange(num_categories + 1)
    gt_starts = np.searchsorted(gt.categories[gt_order], bounds)
    dt_starts = np.searchsorted(dt.categories[dt_order], bounds)
    for category in wanted:
        truth = gt.take(gt_order[gt_starts[category] : gt_starts[category + 1]])
        if not len(truth) or (truth.crowd is not None and truth.crowd.all()):
            continue  # nothing to find
        found = dt.take(_best(dt, dt_order[dt_starts[category] : dt_starts[category + 1]], max_dets[-1]))
        result = _evaluate(backend, truth, found, max_dets)
        # All recall thresholds have a precision, or none has.
        tables.ap[:, category] = result["precision"][:, :, 0, :, -1].mean(axis=1)
        tables.recall[:, category] = result["recall"][:, 0, :, -1]
        tables.recall_at[:, :, category] = result["recall"][:, 0, 0, :2].T
    return tables


def _from_arrays(
    gt: ObjectArrays, dt: ObjectArrays, num_categories: int, max_dets: Sequence[int], wanted: Sequence[int]
) -> CocoTables:
    if tuple(max_dets) != _LIMITS:
        raise ValueError(f"max_dets is {max_dets}: the backend 'arrays' knows {_LIMITS} alone")
    if len(wanted) < num_categories:
        gt, dt = (objects.take(np.flatnonzero(np.isin(objects.categories, wanted))) for objects in (gt, dt))
    found = iou_f1_tables(
        gt, dt, num_categories=num_categories, num_attributes=0, with_attributes=np.zeros(num_categories, dtype=bool)
    )
    return CocoTables(
        ap=np.nan_to_num(found.ap[:, :, :10, -1], nan=-1.0).transpose(2, 0, 1),
        recall=np.nan_to_num(found.recall[:, :, :10, -1], nan=-1.0).transpose(2, 0, 1),
        recall_at=np.nan_to_num(found.recall_at[:, :, :10, -1], nan=-1.0).transpose(0, 2, 1),
    )


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
