"""COCO's AP, with garments of unknown category excused, and beside it without that excuse."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
import pycocotools.mask as mask_util
import torch
from detectron2.evaluation import COCOEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from .coco_ap import coco_tables, default_backend
from .object_arrays import Masks, ObjectArrays, to_rle

__all__ = ["KFashionCOCOEvaluator"]

logger = logging.getLogger(__name__)

_TASKS = ("bbox", "segm")


class _Detections(NamedTuple):
    """What one or more images gave; D detections."""

    images: np.ndarray  # int64 (N,), place of each image that was seen
    counts: np.ndarray  # int64 (N,), its detections
    boxes: np.ndarray  # float32 (D, 4), XYWH
    scores: np.ndarray  # float32 (D,)
    classes: np.ndarray  # int32 (D,)
    masks: Masks | None

    @classmethod
    def concatenate(cls, parts: list[_Detections]) -> _Detections:
        arrays = (np.concatenate([part[i] for part in parts]) for i in range(5))
        masks = [part.masks for part in parts if len(part.scores)]
        return cls(*arrays, Masks.concatenate(masks) if all(m is not None for m in masks) else None)

    def in_order(self) -> _Detections:
        """By image, whoever saw it and when; an image that was seen twice counts once."""
        images, first = np.unique(self.images, return_index=True)
        if len(images) == len(self.images) and (first == np.arange(len(first))).all():
            return self
        counts = self.counts[first]
        starts = (np.cumsum(self.counts) - self.counts)[first]
        rows = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        masks = None if self.masks is None else self.masks.take(rows)
        return _Detections(images, counts, self.boxes[rows], self.scores[rows], self.classes[rows], masks)


class KFashionCOCOEvaluator(COCOEvaluator):
    """
    Detectron2's evaluator, with the same numbers under the same names; boxes and masks.

    - Where the ground truth has ignore regions (``iscrowd: 1``, garments of unknown category), each task is reported a
      second time without them, as ``<task>_no_ignore``: there, a detection of such a garment is a false one.
    - faster-coco-eval computes the AP where it is installed, pycocotools elsewhere, one category at a time, and with
      very many detections our own matching; see :mod:`.coco_ap`.
    - Processes keep and gather arrays. The results depend neither on their number nor on the order of the images; an
      image seen twice counts once. ``coco_instances_results.json`` is written as ever, ``instances_predictions.pth``
      (the same once more) is not.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Collection[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = None,
        allow_cached_coco: bool = True,
    ):
        """
        Args:
            dataset_name: a registered dataset; its COCO file is ``json_file`` of its metadata.
            tasks: of "bbox" and "segm"; by default boxes, and masks where the model gives them.
            distributed: gather from all processes; if not, each scores what it saw.
            output_dir: where to write ``coco_instances_results.json``.
            max_dets_per_image: the limit of detections of an image and category; 100 by default.
            allow_cached_coco: of a dataset without a COCO file: take the one that an earlier run wrote.

        Raises:
            ValueError: an unknown task.
        """
        for task in tasks or ():
            if task not in _TASKS:
                raise ValueError(f"task {task!r} cannot be evaluated; choose of {', '.join(_TASKS)}")
        super().__init__(
            dataset_name,
            tasks,
            distributed,
            output_dir,
            max_dets_per_image=max_dets_per_image,
            use_fast_impl=False,
            allow_cached_coco=allow_cached_coco,
        )
        if tasks is not None and "segm" not in tasks:
            for anno in self._coco_api.anns.values():
                anno.pop("segmentation", None)  # polygons are most of the memory
        self._image_ids = sorted(self._coco_api.imgs)
        self._place_of = {image_id: place for place, image_id in enumerate(self._image_ids)}
        mapping = self._metadata.get("thing_dataset_id_to_contiguous_id")
        self._class_of: dict[int, int] = mapping or {i: i for i in sorted(self._coco_api.cats)}
        self._category_ids = {class_id: category_id for category_id, class_id in self._class_of.items()}

    def reset(self) -> None:
        self._seen: list[_Detections] = []

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """
        Args:
            inputs: dicts with "image_id".
            outputs: ``{"instances": Instances}`` each, at the original size, with ``pred_boxes``, ``scores``,
                ``pred_classes`` and, of a model with masks, ``pred_masks``.

        Raises:
            ValueError: an image is not in the dataset's COCO file.
        """
        for input_per_image, output in zip(inputs, outputs, strict=True):
            image_id = input_per_image["image_id"]
            if image_id not in self._place_of:
                raise ValueError(f"image_id {image_id!r} is not in {self._metadata.json_file}")
            instances = output["instances"].to(self._cpu_device)
            boxes = instances.pred_boxes.tensor.float().numpy().copy()
            boxes[:, 2:] -= boxes[:, :2]
            masks = None
            if instances.has("pred_masks"):
                pixels = instances.pred_masks.to(torch.uint8).numpy()
                masks = Masks.of(mask_util.encode(np.asfortranarray(mask)) for mask in pixels)
            self._seen.append(
                _Detections(
                    images=np.array([self._place_of[image_id]]),
                    counts=np.array([len(instances)]),
                    boxes=boxes,
                    scores=instances.scores.float().numpy(),
                    classes=instances.pred_classes.numpy().astype(np.int32),
                    masks=masks,
                )
            )

    def evaluate(self, img_ids: Collection[Any] | None = None) -> Mapping[str, Mapping[str, float]]:
        """
        Args:
            img_ids: the images to evaluate; those that were processed by default.

        Returns:
            ``{"bbox": {"AP": ..., "AP50": ..., "AP-<class>": ...}, "bbox_no_ignore": ...}``, per cent, NaN where there
            is nothing to measure; nothing on other processes than the main one.
        """
        mine = [_Detections.concatenate(self._seen)] if self._seen else []
        self._seen = mine
        if self._distributed:
            comm.synchronize()
            mine = [part for parts in comm.gather(mine, dst=0) for part in parts]
            if not comm.is_main_process():
                return {}
        if not mine:
            logger.warning("[COCOEvaluator] Did not receive valid predictions.")
            return {}
        found = _Detections.concatenate(mine).in_order()
        self._check_classes(found)
        if self._output_dir:
            PathManager.mkdirs(self._output_dir)
            self._save(found, os.path.join(self._output_dir, "coco_instances_results.json"))
        self._results: OrderedDict[str, dict[str, float]] = OrderedDict()
        if not self._do_evaluation:
            logger.info("Annotations are not available for evaluation.")
            return self._results
        kept = found.images if img_ids is None else np.array([self._place_of[i] for i in img_ids], dtype=np.int64)
        tasks = self._tasks or (_TASKS if found.masks is not None else _TASKS[:1])
        backend = default_backend(len(found.scores), self._max_dets_per_image)
        logger.info(f"Evaluating {len(found.scores):,} detections with {backend} ...")
        for task in sorted(tasks):
            self._evaluate_task(found, task, kept)
        plain = [(task, metrics) for task, metrics in self._results.items() if not task.endswith("_no_ignore")]
        others = [item for item in self._results.items() if item not in plain]
        return OrderedDict((task, dict(metrics)) for task, metrics in [*plain, *others])

    def _evaluate_task(self, found: _Detections, task: str, kept: np.ndarray) -> None:
        class_names = self._metadata.get("thing_classes")
        gt, dt = self._ground_truth(task), self._as_objects(found, task)
        has_ignored = bool(gt.crowd.any())  # of all images, so that the names do not depend on those that were seen
        gt, dt = (_of_images(objects, kept) for objects in (gt, dt))
        if not len(dt):
            self._results[task] = self._derive_coco_results(None, task, class_names=class_names)
            if has_ignored:
                self._results[f"{task}_no_ignore"] = dict(self._results[task])
            return
        options = {"num_categories": len(self._class_of), "max_dets": self._max_dets_per_image}
        tables = coco_tables(gt, dt, **options)
        self._results[task] = self._derive_coco_results(tables, task, class_names=class_names)
        if not has_ignored:
            return
        changed = np.unique(gt.categories[gt.crowd])
        again = coco_tables(gt.take(np.flatnonzero(~gt.crowd)), dt, categories=changed.tolist(), **options)
        tables.put(changed.tolist(), again)
        logger.info("The same without ignore regions:")
        self._results[f"{task}_no_ignore"] = self._derive_coco_results(tables, task, class_names=class_names)

    def _ground_truth(self, task: str) -> ObjectArrays:
        annotations = self._coco_api.dataset["annotations"]
        masks = None
        if task == "segm":
            images = self._coco_api.imgs
            sizes = [(images[a["image_id"]]["height"], images[a["image_id"]]["width"]) for a in annotations]
            masks = Masks.of(to_rle(a["segmentation"], *size) for a, size in zip(annotations, sizes, strict=True))
        return ObjectArrays(
            images=np.array([self._place_of[a["image_id"]] for a in annotations], dtype=np.int64),
            categories=np.array([self._class_of[a["category_id"]] for a in annotations], dtype=np.int64),
            boxes=np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4),
            areas=np.array([a["area"] for a in annotations], dtype=np.float64),
            crowd=np.array([bool(a.get("iscrowd", 0)) for a in annotations], dtype=bool),
            masks=masks,
        )

    def _as_objects(self, found: _Detections, task: str) -> ObjectArrays:
        boxes = found.boxes.astype(np.float64)
        masks = found.masks if task == "segm" else None
        if task == "segm" and masks is None:
            raise ValueError("the model's output has no pred_masks: evaluate tasks=('bbox',)")
        return ObjectArrays(
            images=np.repeat(found.images, found.counts),
            categories=found.classes.astype(np.int64),
            boxes=boxes,
            areas=boxes[:, 2] * boxes[:, 3] if masks is None else masks.areas(),
            scores=found.scores.astype(np.float64),
            masks=masks,
        )

    def _check_classes(self, found: _Detections) -> None:
        most = int(found.classes.max(initial=-1))
        if most >= len(self._class_of):
            raise ValueError(
                f"a prediction has class {most}, but dataset {self._metadata.name!r} has only {len(self._class_of)} "
                "classes: set MODEL.ROI_HEADS.NUM_CLASSES to their number"
            )

    def _save(self, found: _Detections, path: str) -> None:
        logger.info(f"Saving results to {path}")
        with PathManager.open(path, "wb") as file:
            file.write(b"[")
            for number, chunk in enumerate(self._json_chunks(found)):
                file.write(b", " * (number > 0) + orjson.dumps(chunk)[1:-1])
            file.write(b"]")

    def _json_chunks(self, found: _Detections, size: int = 10_000) -> Iterator[list[dict[str, Any]]]:
        """COCO's results, some thousands at a time."""
        images = np.repeat(found.images, found.counts)
        for start in range(0, len(images), size):
            block = slice(start, start + size)
            columns = (images[block], found.classes[block], found.boxes[block], found.scores[block])
            chunk = [
                {
                    "image_id": self._image_ids[image],
                    "category_id": self._category_ids[class_id],
                    "bbox": box,
                    "score": score,
                }
                for image, class_id, box, score in zip(*(column.tolist() for column in columns), strict=True)
            ]
            if found.masks is not None:
                for row, result in enumerate(chunk, start=start):
                    rle = found.masks[row]
                    result["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
            yield chunk


def _of_images(objects: ObjectArrays, images: np.ndarray) -> ObjectArrays:
    mine = np.isin(objects.images, images)
    return objects if mine.all() else objects.take(np.flatnonzero(mine))
