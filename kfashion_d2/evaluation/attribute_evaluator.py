"""The Detectron2 evaluator of attributes: on detections, and on ground-truth boxes, where detection cannot fail."""

from __future__ import annotations

from .. import _needs_detectron2  # noqa: F401  # isort: skip

import json
import logging
import math
import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..schema import AttributeSchema
from .attribute_metrics import attribute_table, evaluate_attributes
from .matching import match_detections

__all__ = ["AttributeEvaluator"]

logger = logging.getLogger(__name__)


class _Garments(NamedTuple):
    """The ground truth of one image with G garments."""

    index: int  # of the image in the dataset
    boxes: np.ndarray  # float64 (G, 4), XYXY pixels of the original image
    classes: np.ndarray  # int64 (G,), -1 unknown
    parts: np.ndarray  # int64 (G,), ids in schema.parts
    targets: np.ndarray  # int8 (G, L)


class AttributeEvaluator(DatasetEvaluator):
    """
    Scores ``pred_attributes`` against the labels of a registered dataset; see :func:`evaluate_attributes`.

    Results (on the main process; an empty dict on others):

    - "attributes": of garments that a detection found (:func:`match_detections`), with ``garments`` (all in the
      images seen), ``matched`` and ``recall`` (percent) beside the metrics.
    - "attributes_gt_boxes": of all garments, read from their true boxes; only with `model`. The backbone runs once:
      its features are caught by a forward hook, which lives from :meth:`reset` to :meth:`evaluate`.

    They depend neither on the number of processes nor on the order of the images; an image seen twice counts once.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        schema: AttributeSchema | None = None,
        threshold: float | Mapping[str, float] = 0.5,
        iou_threshold: float = 0.5,
        model: nn.Module | None = None,
        output_dir: str | None = None,
        distributed: bool = True,
    ):
        """
        Args:
            dataset_name: a registered dataset: a list of dataset dicts, or a dataset with ``index_of(image_id)``.
            schema: what the columns of ``pred_attributes`` mean: the dataset's ``attribute_schema``, which is the
                default, or some of its groups.
            threshold: the least score of a multi-label answer; one number, or one for each group.
            iou_threshold: the least IoU between a detection and its garment.
            model: a GeneralizedRCNN (DistributedDataParallel around it is looked through), the one that is
                evaluated, to score it on ground-truth boxes too.
            output_dir: where to write ``attribute_metrics.json``.
            distributed: gather from all processes; if not, each scores what it saw.

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
        self._class_parts = None if classes is None else self._schema.class_parts(classes)
        self._dataset_name = dataset_name
        self._dataset = DatasetCatalog.get(dataset_name)
        if hasattr(self._dataset, "index_of"):
            self._index_of = self._dataset.index_of
        else:
            index_by_id = {record["image_id"]: i for i, record in enumerate(self._dataset)}
            if len(index_by_id) != len(self._dataset):
                raise ValueError(f"two images of dataset {dataset_name!r} have the same image_id")
            self._index_of = index_by_id.__getitem__
        self._threshold = threshold
        self._iou_threshold = iou_threshold
        self._model = model.module if isinstance(model, DistributedDataParallel) else model
        self._output_dir = output_dir
        self._distributed = distributed
        self._hook: Any = None

    def reset(self) -> None:
        self._keys: list[np.ndarray] = []  # int64 (G, 2): the image's index, the garment's place in it
        self._targets: list[np.ndarray] = []  # int8 (G, L)
        self._matched: list[np.ndarray] = []  # bool (G,)
        self._scores: list[np.ndarray] = []  # float32 (G, L), 0 where nothing matched
        self._scores_on_gt: list[np.ndarray] = []  # float32 (G, L)
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
            self._add_detections(garments, output["instances"])
        if self._gt_boxes_on:
            self._add_gt_boxes(inputs, truth)
        self._forget_features()

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        self._remove_hook()
        num_labels = self._schema.num_labels
        mine = (
            _stack(self._keys, 2, np.int64),
            _stack(self._targets, num_labels, np.int8),
            np.concatenate([np.zeros(0, dtype=bool), *self._matched]),
            _stack(self._scores, num_labels, np.float32),
            _stack(self._scores_on_gt, num_labels, np.float32) if self._gt_boxes_on else None,
        )
        gathered = [mine]
        if self._distributed:
            comm.synchronize()
            gathered = comm.gather(mine, dst=0)
            if not comm.is_main_process():
                return OrderedDict()
        keys, targets, matched, scores = (np.concatenate([arrays[i] for arrays in gathered]) for i in range(4))
        # By image, whoever saw it and when; an image that a sampler handed out twice counts once.
        _, order = np.unique(keys, axis=0, return_index=True)
        targets, matched, scores = targets[order], matched[order], scores[order]
        results: OrderedDict[str, dict[str, float]] = OrderedDict()
        results["attributes"] = {
            **evaluate_attributes(scores[matched], targets[matched], self._schema, self._threshold),
            "garments": float(len(matched)),
            "matched": float(matched.sum()),
            "recall": 100 * float(matched.mean()) if len(matched) else math.nan,
        }
        on_gt = [arrays[4] for arrays in gathered]
        if all(arrays is not None for arrays in on_gt):
            scores = np.concatenate(on_gt)[order]
            results["attributes_gt_boxes"] = evaluate_attributes(scores, targets, self._schema, self._threshold)
        self._report(results)
        return results

    def _garments(self, image_id: Any) -> _Garments:
        try:
            index = int(self._index_of(image_id))
        except KeyError:
            raise ValueError(
                f"image_id {image_id!r} is not in dataset {self._dataset_name!r}: evaluate with its own test loader"
            ) from None
        annotations = [a for a in self._dataset[index]["annotations"] if not a.get("iscrowd", 0)]
        boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
        rows = [self._schema.encode(a["attributes"], a["part"]) for a in annotations]
        return _Garments(
            index=index,
            boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
            classes=np.array([a["category_id"] for a in annotations], dtype=np.int64),
            parts=np.array([self._schema.parts.index(a["part"]) for a in annotations], dtype=np.int64),
            targets=_stack([row[None] for row in rows], self._schema.num_labels, np.int8),
        )

    def _add_detections(self, garments: _Garments, detections: Instances) -> None:
        scores = self._attribute_scores(detections)
        matches = match_detections(
            detections.pred_boxes.tensor.cpu().numpy(),
            detections.scores.float().cpu().numpy(),
            detections.pred_classes.cpu().numpy(),
            garments.boxes,
            garments.classes,
            self._iou_threshold,
            gt_parts=garments.parts,
            class_parts=self._class_parts,
        )
        rows = np.zeros(garments.targets.shape, dtype=np.float32)
        rows[matches >= 0] = scores[matches[matches >= 0]]
        place = np.arange(len(matches))
        self._keys.append(np.stack([np.full_like(place, garments.index), place], axis=1))
        self._targets.append(garments.targets)
        self._matched.append(matches >= 0)
        self._scores.append(rows)

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

    def _add_gt_boxes(self, inputs: list[dict], truth: list[_Garments]) -> None:
        if self._batch_sizes != [len(inputs)]:
            self._skip_gt_boxes(
                f"they need one run of the model's backbone on the {len(inputs)} inputs, "
                f"but it ran on batches of {self._batch_sizes} images"
            )
            return
        if not any(len(garments.boxes) for garments in truth):
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
            f"{found['garments']:.0f} garments were found at IoU {self._iou_threshold}:\n"
            + attribute_table(results, self._schema)
        )
        if self._output_dir:
            PathManager.mkdirs(self._output_dir)
            path = os.path.join(self._output_dir, "attribute_metrics.json")
            # JSON has no NaN: what could not be measured is null.
            plain = {
                task: {name: None if math.isnan(value) else value for name, value in metrics.items()}
                for task, metrics in results.items()
            }
            with PathManager.open(path, "w") as file:
                json.dump({"dataset": self._dataset_name, **plain}, file, indent=2, allow_nan=False)
            logger.info(f"Wrote {path}")


def _stack(arrays: list[np.ndarray], width: int, dtype: Any) -> np.ndarray:
    """One (N, width) array, also of no arrays at all."""
    return np.concatenate([np.zeros((0, width), dtype=dtype), *arrays])


def _on_network_input(input_per_image: dict, garments: _Garments, device: torch.device) -> Instances:
    """The garments as detections in the pixels that the network saw, as ``forward_with_given_boxes`` wants them."""
    height, width = input_per_image["image"].shape[-2:]
    scale_x = width / input_per_image.get("width", width)
    scale_y = height / input_per_image.get("height", height)
    boxes = garments.boxes * np.array([scale_x, scale_y, scale_x, scale_y])
    instances = Instances((height, width))
    instances.pred_boxes = Boxes(torch.as_tensor(boxes, dtype=torch.float32, device=device))
    instances.scores = torch.ones(len(boxes), device=device)
    # An unknown class needs some valid id; what applies to the garment is decided by its part.
    instances.pred_classes = torch.as_tensor(garments.classes.clip(min=0), device=device)
    instances.parts = torch.as_tensor(garments.parts, device=device)
    return instances
