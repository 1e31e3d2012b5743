"""
This module has the Detectron2 evaluator of K-Fashion datasets, which collects what a model predicts and has it scored.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from torch import nn

from ..schema import AttributeSchema, Label
from ..utils.memory import return_free_memory
from .evaluate import Evaluation, evaluate_predictions
from .predictions.core import Predictions, PredictionsInfo, Thresholds, concatenate_predictions
from .predictions.gt_box_attributes import GTBoxAttributeReader
from .predictions.image import (
    ImagePredictions,
    attribute_scores,
    detections_from_output,
    garments_from_record,
    stack_images,
    style_scores,
)
from .results.coco_results import write_coco_results
from .results.metrics_file import metrics_text
from .results.tables import training_table

__all__ = ["KFashionEvaluator"]

logger = logging.getLogger(__name__)

METRICS = ("none", "training", "all")

# Images whose arrays are put together at a time: many small arrays kept for a whole evaluation fragment the memory.
_IMAGES_PER_CHUNK = 64

# Files that training leaves beside its log -> the tasks in them.
_METRICS_FILES = {
    "attribute_metrics.json": ("attributes", "attributes_class_agnostic", "attributes_gt_boxes"),
    "style_metrics.json": ("style", "sub_style"),
}


class KFashionEvaluator(DatasetEvaluator):
    """
    This evaluator collects a model's boxes, masks, attributes and styles over a registered dataset, as
    :class:`Predictions`.

    It computes nothing itself: :meth:`evaluate` gathers the predictions of all processes and hands them to
    :func:`evaluate_predictions`. The results depend neither on the number of processes nor on the order of the images,
    to the last bit; an image that was seen twice counts once. Scores of attributes are kept as float16.

    Attributes:
        info (PredictionsInfo): what the columns of the predictions mean, and the thresholds.
        style_tasks (tuple[str, ...]): the styles to be scored.
        output_dir (str | None): where the files go.
        predictions (Predictions | None): what the model predicted; on the main process, after :meth:`evaluate`.
        evaluation (Evaluation | None): the metrics of it; likewise, but None where nothing was to be computed.
        gt_box_scores (np.ndarray | None): float32 (G, L), the scores that ``predictions.gt_attributes`` holds rounded
            to float16; a calibration is fitted to them.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        schema: AttributeSchema | None = None,
        threshold: Thresholds = 0.5,
        iou_threshold: float = 0.5,
        model: nn.Module | None = None,
        masks: bool = False,
        style_tasks: Sequence[str] = (),
        metrics: str = "training",
        output_dir: str | None = None,
        distributed: bool = True,
        label_counts: np.ndarray | None = None,
        facts: Mapping[str, Any] | None = None,
    ):
        """
        Set up the evaluation of a registered dataset.

        Args:
            dataset_name: a registered dataset: a list of dataset dicts, or a dataset with ``index_of(image_id)``.
            schema: what the columns of ``pred_attributes`` mean: the dataset's ``attribute_schema``, which is the
                default, or some of its groups.
            threshold: the least score of a multi-label answer; see :func:`threshold_row`.
            iou_threshold: the least IoU between a detection and its garment.
            model: a GeneralizedRCNN (DistributedDataParallel around it is looked through), the one that is
                evaluated, to read attributes from true boxes too.
            masks: whether to score masks too, which costs time.
            style_tasks: "style" and "sub_style", as far as the model predicts them.
            metrics: "training" leaves out what takes most of the time (see :func:`evaluate_predictions`), "all" leaves
                nothing out, "none" only collects.
            output_dir: where to write ``coco_instances_results.json``, ``attribute_metrics.json`` and
                ``style_metrics.json``.
            distributed: whether to gather from all processes; if not, each scores what it saw.
            label_counts: int (2, L) of the training set, kept in `predictions`; see :class:`PredictionsInfo`.
            facts: about the model, kept in `predictions`; plain values.

        Raises:
            ValueError: there is no schema, or its groups differ from the dataset's; two images share an id; or
                `metrics` is none of the three.
        """
        if metrics not in METRICS:
            raise ValueError(f"metrics={metrics!r}; choose one of {', '.join(METRICS)}")
        metadata = MetadataCatalog.get(dataset_name)
        dataset_schema = metadata.get("attribute_schema")
        schema = schema or dataset_schema
        if schema is None:
            raise ValueError(
                f"dataset {dataset_name!r} has no attribute_schema: register it with register_kfashion, "
                "set it in MetadataCatalog, or pass schema="
            )
        if dataset_schema is not None and dataset_schema.subset(schema.group_names).hash != schema.hash:
            raise ValueError(
                f"the groups {', '.join(schema.group_names)} do not mean in dataset {dataset_name!r} what they "
                "mean in the schema to evaluate with: use the schema that the dataset was registered with"
            )
        names = metadata.get("thing_classes") or ()
        korean = metadata.get("thing_classes_korean") or names
        self.info = PredictionsInfo(
            dataset=dataset_name,
            schema=schema,
            classes=metadata.get("classes"),
            class_names=tuple(Label(*pair) for pair in zip(names, korean, strict=True)),
            threshold=threshold,
            iou_threshold=iou_threshold,
            label_counts=label_counts,
            model=facts or {},
        )
        class_ids = metadata.get("thing_dataset_id_to_contiguous_id") or {i + 1: i for i in range(len(names))}
        self._category_ids = {class_id: category_id for category_id, class_id in class_ids.items()}
        self._dataset = DatasetCatalog.get(dataset_name)
        self._index_of = _index_lookup(self._dataset, dataset_name)
        self._gt_boxes = None if model is None else GTBoxAttributeReader(model, schema)
        self._masks = masks
        self.style_tasks = tuple(style_tasks)
        self._metrics = metrics
        self.output_dir = output_dir
        self._distributed = distributed
        self.predictions: Predictions | None = None
        self.evaluation: Evaluation | None = None
        self.gt_box_scores: np.ndarray | None = None

    @property
    def reads_gt_boxes(self) -> bool:
        """Say whether attributes are read from true boxes too."""
        return self._gt_boxes is not None

    def reset(self) -> None:
        self.predictions = self.evaluation = self.gt_box_scores = None
        self._images: list[ImagePredictions] = []  # of the chunk that is being filled
        self._chunks: list[Predictions] = []
        if self._gt_boxes is not None:
            self._gt_boxes.start()

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """
        Keep what the model predicted for a batch.

        Args:
            inputs: the model's inputs, with "image" (C, H, W) where there is a `model`, "image_id", and "height" and
                "width" of the original image.
            outputs: ``{"instances": Instances}`` each, at the original size, with ``pred_boxes``, ``scores``,
                ``pred_classes``, ``pred_attributes`` and, with `masks`, ``pred_masks``; and float (S,)
                "<task>_scores" of each style task.

        Raises:
            ValueError: an image is not in the dataset, or an output lacks what is to be scored or has another width.
        """
        garments = [self._garments(input_per_image["image_id"]) for input_per_image in inputs]
        gt_scores = None if self._gt_boxes is None else self._gt_boxes.read(inputs, garments)
        if gt_scores is not None:
            for garments_per_image, scores in zip(garments, gt_scores, strict=True):
                garments_per_image["gt_attributes"] = scores
        for garments_per_image, output in zip(garments, outputs, strict=True):
            self._images.append({**garments_per_image, **self._detections(output)})
        if len(self._images) >= _IMAGES_PER_CHUNK:
            self._chunks.append(self._stacked_images())
            if self._masks:
                return_free_memory()

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """
        Gather what all processes saw, and score it.

        Returns:
            Task -> metric -> value, percent but the counts, NaN where there is nothing to measure: "bbox" and "segm"
            with Detectron2's names, "attributes", "attributes_gt_boxes", "style" ...; see
            :func:`evaluate_predictions`. Nothing on other processes than the main one, and with ``metrics="none"``.
        """
        predictions = self._gathered_predictions()
        if predictions is None:
            return OrderedDict()
        if predictions.gt_attributes is not None:
            self.gt_box_scores = predictions.gt_attributes.astype(np.float32, copy=False)
            predictions.gt_attributes = predictions.gt_attributes.astype(np.float16)
        self.predictions = predictions
        if self._metrics == "none":
            return OrderedDict()
        self.evaluation = evaluate_predictions(predictions, detailed=self._metrics == "all")
        logger.info(training_table(self.evaluation, predictions.info))
        if self.output_dir:
            self._write_files(self.output_dir)
        return OrderedDict(self.evaluation.metrics)

    def _garments(self, image_id: Any) -> ImagePredictions:
        try:
            index = int(self._index_of(image_id))
        except KeyError:
            raise ValueError(
                f"image_id {image_id!r} is not in dataset {self.info.dataset!r}: evaluate with its own test loader"
            ) from None
        return garments_from_record(self._dataset[index], index, self.info.schema, masks=self._masks)

    def _detections(self, output: dict[str, Any]) -> ImagePredictions:
        detections = detections_from_output(
            output["instances"], attribute_scores(output["instances"], self.info.schema), masks=self._masks
        )
        highest, num_classes = int(detections["det_classes"].max(initial=-1)), len(self.info.class_names)
        if num_classes and highest >= num_classes:
            raise ValueError(
                f"a prediction has class {highest}, but dataset {self.info.dataset!r} has only {num_classes} "
                "classes: set MODEL.ROI_HEADS.NUM_CLASSES to their number"
            )
        return {**detections, **style_scores(output, self.style_tasks, self.info.schema)}

    def _stacked_images(self) -> Predictions:
        images, self._images = self._images, []
        return stack_images(images, self.info)

    def _gathered_predictions(self) -> Predictions | None:
        """Return the predictions of all processes, on the main one; None on the others."""
        if self._gt_boxes is not None:
            self._gt_boxes.stop()
        self._chunks.append(self._stacked_images())
        predictions = concatenate_predictions(self._chunks)
        self._chunks = []  # before processes send their predictions, which takes as much memory again
        for field in self._fields_left_out():
            setattr(predictions, field, None)
        if not self._distributed:
            return predictions
        has_gt_attributes = predictions.gt_attributes is not None
        comm.synchronize()
        predictions_per_process = comm.gather(predictions, dst=0)
        if not comm.is_main_process():
            return None
        predictions = concatenate_predictions(predictions_per_process)
        if has_gt_attributes and predictions.gt_attributes is None:
            logger.warning(
                "No attribute metrics on ground-truth boxes: another process could not read them; see its log."
            )
        return predictions

    def _fields_left_out(self) -> list[str]:
        """List the fields of :class:`Predictions` that nobody asked for, or that could not be read."""
        fields = [f"{task}_scores" for task in ("style", "sub_style") if task not in self.style_tasks]
        if not self._masks:
            fields += ["det_masks", "gt_masks"]
        if self._gt_boxes is None or not self._gt_boxes.is_on:
            fields.append("gt_attributes")
        return fields

    def _write_files(self, folder: str) -> None:
        assert self.predictions is not None and self.evaluation is not None
        PathManager.mkdirs(folder)
        if self.info.class_names:
            path = os.path.join(folder, "coco_instances_results.json")
            with PathManager.open(path, "wb") as file:
                write_coco_results(self.predictions, file, self._category_ids)
            logger.info(f"Wrote {path}")
        for file_name, tasks in _METRICS_FILES.items():
            metrics = {task: self.evaluation.metrics[task] for task in tasks if task in self.evaluation.metrics}
            if metrics:
                path = os.path.join(folder, file_name)
                with PathManager.open(path, "wb") as file:
                    file.write(metrics_text({"dataset": self.info.dataset, **metrics}).encode())
                logger.info(f"Wrote {path}")


def _index_lookup(dataset: Any, name: str) -> Any:
    """Return a function that gives the index of an image id, or raises KeyError."""
    if hasattr(dataset, "index_of"):
        return dataset.index_of
    index_by_id = {record["image_id"]: i for i, record in enumerate(dataset)}
    if len(index_by_id) != len(dataset):
        raise ValueError(f"two images of dataset {name!r} have the same image_id")
    return index_by_id.__getitem__
