"""The Detectron2 evaluator of attributes: on detections, and on ground-truth boxes, where detection cannot fail."""

from __future__ import annotations

import logging
import math
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..schema import AttributeSchema, Label
from .attribute_metrics import attribute_table, evaluate_attributes
from .image_predictions import ImagePredictions, detections_of, garments_of, stack_images
from .metrics_file import metrics_text
from .prediction_metrics import match_predictions, task_rows
from .predictions import Predictions, PredictionsInfo, concatenate_predictions

__all__ = ["AttributeEvaluator", "GTBoxScores"]

logger = logging.getLogger(__name__)


class GTBoxScores(NamedTuple):
    """
    The attribute scores of all garments of the images seen, read from their true boxes, by image.

    Attributes:
        images: int64 (G,), the image's index in the dataset.
        targets: int8 (G, L).
        scores: float32 (G, L).
    """

    images: np.ndarray
    targets: np.ndarray
    scores: np.ndarray


class AttributeEvaluator(DatasetEvaluator):
    """
    Scores ``pred_attributes`` against the labels of a registered dataset; see :func:`evaluate_attributes`.

    Results (on the main process; an empty dict on others):

    - "attributes": of garments that a detection found (:func:`match_images`), with ``garments`` (all in the
      images seen), ``matched``, ``recall`` and ``recall_class_agnostic`` (percent) beside the metrics.
    - "attributes_gt_boxes": of all garments, read from their true boxes; only with `model`. The backbone runs once:
      its features are caught by a forward hook, which lives from :meth:`reset` to :meth:`evaluate`.

    They depend neither on the number of processes nor on the order of the images, to the last bit; an image seen twice
    counts once. Scores are kept, sent between processes and measured as float16.

    Attributes:
        predictions (Predictions | None): on the main process, after :meth:`evaluate`, all that was seen; for
            :func:`evaluate_predictions` and :func:`write_predictions`.
        gt_box_scores (GTBoxScores | None): what the second task was scored on, before they were rounded to float16; on
            the main process, after :meth:`evaluate`.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        schema: AttributeSchema | None = None,
        threshold: float | Mapping[str, float | Sequence[float]] = 0.5,
        iou_threshold: float = 0.5,
        model: nn.Module | None = None,
        output_dir: str | None = None,
        distributed: bool = True,
        keep_masks: bool = False,
        label_counts: np.ndarray | None = None,
        facts: Mapping[str, Any] | None = None,
    ):
        """
        Args:
            dataset_name: a registered dataset: a list of dataset dicts, or a dataset with ``index_of(image_id)``.
            schema: what the columns of ``pred_attributes`` mean: the dataset's ``attribute_schema``, which is the
                default, or some of its groups.
            threshold: the least score of a multi-label answer; see :func:`threshold_row`.
            iou_threshold: the least IoU between a detection and its garment.
            model: a GeneralizedRCNN (DistributedDataParallel around it is looked through), the one that is
                evaluated, to score it on ground-truth boxes too.
            output_dir: where to write ``attribute_metrics.json``.
            distributed: gather from all processes; if not, each scores what it saw.
            keep_masks: keep masks in `predictions`, as RLE; costs time.
            label_counts: int (2, L) of the training set, kept in `predictions`; see :class:`PredictionsInfo`.
            facts: about the model, kept in `predictions`; plain values.

        Raises:
            ValueError: no schema, or its groups differ from the dataset's; or two images share an id.
        """
        metadata = MetadataCatalog.get(dataset_name)
        known = metadata.get("attribute_schema")
        if schema is None and known is None:
            raise ValueError(
                f"dataset {dataset_name!r} has no attribute_schema: register it with register_kfashion, "
                "set it in MetadataCatalog, or pass schema="
            )
        self._schema: AttributeSchema = schema or known
        if known is not None and known.subset(self._schema.group_names).hash != self._schema.hash:
            raise ValueError(
                f"the groups {', '.join(self._schema.group_names)} do not mean in dataset {dataset_name!r} what they "
                "mean in the schema to evaluate with: use the schema that the dataset was registered with"
            )
        classes = metadata.get("classes")
        names = metadata.get("thing_classes") or ()
        korean = metadata.get("thing_classes_korean") or names
        self._info = PredictionsInfo(
            dataset=dataset_name,
            schema=self._schema,
            classes=classes,
            class_names=tuple(Label(*pair) for pair in zip(names, korean, strict=True)),
            threshold=threshold,
            iou_threshold=iou_threshold,
            label_counts=label_counts,
            model=facts or {},
        )
        self._dataset_name = dataset_name
        self._dataset = DatasetCatalog.get(dataset_name)
        if hasattr(self._dataset, "index_of"):
            self._index_of = self._dataset.index_of
        else:
            index_by_id = {record["image_id"]: i for i, record in enumerate(self._dataset)}
            if len(index_by_id) != len(self._dataset):
                raise ValueError(f"two images of dataset {dataset_name!r} have the same image_id")
            self._index_of = index_by_id.__getitem__
        self._model = model.module if isinstance(model, DistributedDataParallel) else model
        self._output_dir = output_dir
        self._distributed = distributed
        self._keep_masks = keep_masks
        self._hook: Any = None
        self.predictions: Predictions | None = None
        self.gt_box_scores: GTBoxScores | None = None

    def reset(self) -> None:
        self.predictions = self.gt_box_scores = None
        self._images: list[ImagePredictions] = []
        self._scores_on_gt: list[np.ndarray] = []  # float32 (G, L) of a batch
        self._forget_features()
        self._remove_hook()
        self._gt_boxes_on = self._model is not None
        if self._model is None:
            return
        if hasattr(self._model, "backbone") and hasattr(self._model, "roi_heads"):
            self._hook = self._model.backbone.register_forward_hook(self._catch_features)
        else:
            self._skip_gt_boxes(f"{type(self._model).__name__} has no backbone and roi_heads")

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """
        Args:
            inputs: the model's inputs, with "image" (C, H, W) where there is a `model`, "image_id", and "height" and
                "width" of the original image.
            outputs: ``{"instances": Instances}`` each, at the original size, with ``pred_boxes``, ``scores``,
                ``pred_classes`` and ``pred_attributes``.

        Raises:
            ValueError: an image is not in the dataset, or ``pred_attributes`` is missing or has another width.
        """
        truth = [self._garments(input_per_image["image_id"]) for input_per_image in inputs]
        for garments, output in zip(truth, outputs, strict=True):
            scores = self._attribute_scores(output["instances"]).astype(np.float16)
            self._images.append({**garments, **detections_of(output, scores, keep_masks=self._keep_masks)})
        if self._gt_boxes_on:
            self._add_gt_boxes(inputs, truth)
        self._forget_features()

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        self._remove_hook()
        images, self._images = self._images, []
        on_gt, self._scores_on_gt = self._scores_on_gt, []
        mine = stack_images(images, self._info)
        if self._gt_boxes_on:
            blank = np.zeros((0, self._schema.num_labels), dtype=np.float32)
            mine.gt_attributes = np.concatenate([blank, *on_gt])
        gathered = [mine]
        if self._distributed:
            comm.synchronize()
            gathered = comm.gather(mine, dst=0)
            if not comm.is_main_process():
                return OrderedDict()
        predictions = self.predictions = concatenate_predictions(gathered)
        if predictions.gt_attributes is not None:
            images = predictions.image_indices[predictions.gt_images]
            self.gt_box_scores = GTBoxScores(images, predictions.gt_targets, predictions.gt_attributes)
            predictions.gt_attributes = predictions.gt_attributes.astype(np.float16)
        results: OrderedDict[str, dict[str, float]] = OrderedDict()
        matches = match_predictions(predictions, self._info.iou_threshold)
        loosely = match_predictions(predictions, self._info.iou_threshold, class_agnostic=True)
        matched, count = int((matches >= 0).sum()), predictions.num_garments
        results["attributes"] = {
            **self._metrics(*task_rows(predictions, "attributes", {"attributes": matches})[1:]),
            "garments": float(count),
            "matched": float(matched),
            "recall": 100 * matched / count if count else math.nan,
            "recall_class_agnostic": 100 * float((loosely >= 0).mean()) if count else math.nan,
        }
        if predictions.gt_attributes is not None:
            results["attributes_gt_boxes"] = self._metrics(predictions.gt_attributes, predictions.gt_targets)
        self._report(results)
        return results

    def _metrics(self, scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return evaluate_attributes(scores, targets, self._schema, self._info.threshold)

    def _garments(self, image_id: Any) -> ImagePredictions:
        try:
            index = int(self._index_of(image_id))
        except KeyError:
            raise ValueError(
                f"image_id {image_id!r} is not in dataset {self._dataset_name!r}: evaluate with its own test loader"
            ) from None
        return garments_of(self._dataset[index], index, self._schema, keep_masks=self._keep_masks)

    def _attribute_scores(self, instances: Instances) -> np.ndarray:
        """float32 (N, L) of a model's output."""
        if not instances.has("pred_attributes"):
            raise ValueError(
                "the model's output has no pred_attributes: evaluate a model whose MODEL.ROI_HEADS.NAME is one of the "
                "Attribute... heads, without test-time augmentation"
            )
        scores = instances.pred_attributes
        if scores.shape[1] != self._schema.num_labels:
            raise ValueError(
                f"pred_attributes has {scores.shape[1]} columns, but the groups to evaluate "
                f"({', '.join(self._schema.group_names)}) have {self._schema.num_labels} labels: "
                "evaluate with the schema and MODEL.ROI_ATTRIBUTE_HEAD.GROUPS of the model"
            )
        return scores.detach().float().cpu().numpy()

    def _add_gt_boxes(self, inputs: list[dict], truth: list[ImagePredictions]) -> None:
        if self._batch_sizes != [len(inputs)]:
            self._skip_gt_boxes(
                f"they need one run of the model's backbone on the {len(inputs)} inputs, "
                f"but it ran on batches of {self._batch_sizes} images"
            )
            return
        if not any(len(garments["gt_boxes"]) for garments in truth):
            return
        features = self._features
        device = next(iter(features.values())).device
        given = [_on_network_input(x, garments, device) for x, garments in zip(inputs, truth, strict=True)]
        with torch.no_grad():
            found = self._model.roi_heads.forward_with_given_boxes(features, given)
        self._scores_on_gt.extend(self._attribute_scores(instances) for instances in found)

    def _catch_features(self, backbone: nn.Module, args: tuple, features: dict[str, torch.Tensor]) -> None:
        if not backbone.training:
            self._batch_sizes.append(len(args[0]))
            self._features = features

    def _forget_features(self) -> None:
        self._features: dict[str, torch.Tensor] = {}
        self._batch_sizes: list[int] = []  # of the backbone's runs since the last call of process()

    def _skip_gt_boxes(self, reason: str) -> None:
        logger.warning(f"No attribute metrics on ground-truth boxes for {self._dataset_name}: {reason}.")
        self._gt_boxes_on = False
        self._scores_on_gt.clear()
        self._remove_hook()

    def _remove_hook(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _report(self, results: Mapping[str, Mapping[str, float]]) -> None:
        found = results["attributes"]
        logger.info(
            f"Attributes on {self._dataset_name}, percent, over labelled ground truth; {found['matched']:.0f} of "
            f"{found['garments']:.0f} garments were found at IoU {self._info.iou_threshold}:\n"
            + attribute_table(results, self._schema)
        )
        if self._output_dir:
            PathManager.mkdirs(self._output_dir)
            path = os.path.join(self._output_dir, "attribute_metrics.json")
            with PathManager.open(path, "wb") as file:
                file.write(metrics_text({"dataset": self._dataset_name, **results}).encode())
            logger.info(f"Wrote {path}")


def _on_network_input(input_per_image: dict, garments: ImagePredictions, device: torch.device) -> Instances:
    """The garments as detections in the pixels that the network saw, as ``forward_with_given_boxes`` wants them."""
    height, width = input_per_image["image"].shape[-2:]
    scale_x = width / input_per_image.get("width", width)
    scale_y = height / input_per_image.get("height", height)
    boxes = garments["gt_boxes"] * np.array([scale_x, scale_y, scale_x, scale_y])
    instances = Instances((height, width))
    instances.pred_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32, device=device))
    instances.scores = torch.ones(len(boxes), device=device)
    # An unknown class needs some valid id; what applies to the garment is decided by its part.
    instances.pred_classes = torch.as_tensor(garments["gt_classes"].astype(np.int64).clip(min=0), device=device)
    instances.parts = torch.as_tensor(garments["gt_parts"].astype(np.int64), device=device)
    return instances
