"""
Run a variant of the ablation: train, time, and keep the scores of every validation garment, so that metrics can be
computed anew without training.

Shapes: G garments of the validation split, L labels.
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from detectron2.engine import HookBase, hooks
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.env import seed_all_rng
from torch import nn

from kfashion_d2.engine import Trainer
from kfashion_d2.evaluation.detection.matching import match_detections
from kfashion_d2.schema import AttributeSchema

from .accuracy_head import register_head

__all__ = ["RunArrays", "run_once"]

IOU_THRESHOLD = 0.5


class RunArrays(NamedTuple):
    """
    These are the scores of every garment, three times, and its labels.

    Attributes:
        targets: int8 (G, L), the labels.
        gt_boxes: float32 (G, L), scores on the true box with the true class.
        gt_boxes_found_class: float32 (G, L), on the true box with the class that the box predictor gives it.
        detections: float32 (G, L), of the detection that covers it best, whatever its class; 0 where there is none.
        matched: bool (G,), whether there is one.
    """

    targets: np.ndarray
    gt_boxes: np.ndarray
    gt_boxes_found_class: np.ndarray
    detections: np.ndarray
    matched: np.ndarray


class _Stopwatch(HookBase):
    """This hook takes CPU and wall seconds of every iteration, with the loading where this process does it."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def before_step(self) -> None:
        self._start = time.process_time(), time.perf_counter()

    def after_step(self) -> None:
        self.cpu.append(time.process_time() - self._start[0])
        self.wall.append(time.perf_counter() - self._start[1])


class _TimedTrainer(Trainer):
    """This trainer trains and times; it neither evaluates nor saves."""

    def build_hooks(self):
        self.stopwatch = _Stopwatch()
        kept = [h for h in super().build_hooks() if not isinstance(h, (hooks.EvalHook, hooks.PeriodicCheckpointer))]
        return [*kept, self.stopwatch]


def run_once(cfg: Any, seed: int, log_file: Path) -> tuple[RunArrays, dict[str, Any]]:
    """
    Train a config and score the first of its ``DATASETS.TEST``.

    Args:
        cfg: a config of the Standard heads, its datasets registered.
        seed: of the weights and the order of the images.
        log_file: gets what Detectron2 and COCO's tools print.

    Returns:
        The arrays; and "bbox" (COCO's metrics), "cpu_seconds" and "wall_seconds" (medians of an iteration),
        "test_cpu_seconds" (of an image, detections alone) and "parameters".
    """
    register_head()
    log_file.parent.mkdir(parents=True, exist_ok=True)
    cfg = cfg.clone()
    cfg.SEED, cfg.OUTPUT_DIR = seed, str(log_file.parent / log_file.stem)
    handler = logging.FileHandler(log_file, mode="w", encoding="utf-8")
    loggers = [logging.getLogger(name) for name in ("detectron2", "kfashion_d2", "fvcore")]
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(log_file.open("a", encoding="utf-8"))))
        for logger in loggers:
            logger.setLevel(logging.INFO)
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
        Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
        seed_all_rng(seed)
        trainer = _TimedTrainer(cfg)
        trainer.train()
        arrays, measured = score_model(trainer.cfg, trainer.model)
    handler.close()
    measured["cpu_seconds"] = float(np.median(trainer.stopwatch.cpu))
    measured["wall_seconds"] = float(np.median(trainer.stopwatch.wall))
    measured["parameters"] = sum(p.numel() for p in trainer.model.parameters())
    return arrays, measured


@torch.no_grad()
def score_model(cfg: Any, model: nn.Module) -> tuple[RunArrays, dict[str, Any]]:
    """Score detections, and attributes on true boxes, of the first test split; the backbone runs once for both."""
    name = cfg.DATASETS.TEST[0]
    schema = AttributeSchema.from_config(cfg)
    dataset: Any = DatasetCatalog.get(name)
    evaluator = Trainer.build_evaluator(cfg, name, gt_boxes=False, output_dir=None)
    evaluator.reset()
    rows: list[RunArrays] = []
    model.eval()
    seconds, num_images = 0.0, 0
    for inputs in Trainer.build_test_loader(cfg, name):
        start = time.process_time()
        images = model.preprocess_image(inputs)  # type: ignore[operator]
        features = model.backbone(images.tensor)  # type: ignore[operator]
        proposals, _ = model.proposal_generator(images, features, None)  # type: ignore[operator]
        instances, _ = model.roi_heads(images, features, proposals, None)  # type: ignore[operator]
        outputs = type(model)._postprocess(instances, inputs, images.image_sizes)  # type: ignore[attr-defined]
        seconds += time.process_time() - start
        num_images += len(inputs)
        evaluator.process(inputs, outputs)
        for i, (x, output) in enumerate(zip(inputs, outputs, strict=True)):
            record = dataset[dataset.index_of(x["image_id"])]
            annotations = [a for a in record["annotations"] if not a.get("iscrowd", 0)]
            if annotations:
                one = {level: maps[i : i + 1] for level, maps in features.items()}
                rows.append(_score_image(model.roi_heads, one, x, output["instances"], annotations, schema))
    arrays = RunArrays(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    return arrays, {"bbox": dict(evaluator.evaluate()["bbox"]), "test_cpu_seconds": seconds / num_images}


def _score_image(
    roi_heads: Any,
    features: dict[str, torch.Tensor],
    x: dict[str, Any],
    detections: Instances,
    annotations: list[dict[str, Any]],
    schema: AttributeSchema,
) -> RunArrays:
    boxes = np.array([BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations])
    classes = torch.tensor([a["category_id"] for a in annotations])
    parts = torch.tensor([schema.parts.index(a["part"]) for a in annotations])
    height, width = x["image"].shape[-2:]
    scale = np.array([width / x["width"], height / x["height"]] * 2)
    given = Instances((height, width))
    given.pred_boxes = Boxes(torch.as_tensor(boxes * scale, dtype=torch.float32))
    given.parts = parts
    scores = []
    for given_classes in (classes.clamp(min=0), _likeliest_classes(roi_heads, features, given.pred_boxes)):
        given.pred_classes = given_classes
        (described,) = roi_heads.forward_with_given_boxes(features, [given])
        scores.append(described.pred_attributes.numpy().copy())
    matches = match_detections(
        detections.pred_boxes.tensor.numpy(),
        detections.scores.numpy(),
        detections.pred_classes.numpy(),
        boxes,
        classes.numpy(),
        IOU_THRESHOLD,
        class_agnostic=True,
    )
    matched = matches >= 0
    on_detections = np.zeros_like(scores[0])
    on_detections[matched] = detections.pred_attributes.numpy()[matches[matched]]
    targets = np.stack([schema.encode(a["attributes"], a["part"]) for a in annotations])
    return RunArrays(targets, *scores, on_detections, matched)


def _likeliest_classes(roi_heads: Any, features: dict[str, torch.Tensor], boxes: Boxes) -> torch.Tensor:
    """Return the class that the box predictor thinks likeliest of each box, the background left out; int64 (G,)."""
    pooled = roi_heads.box_pooler([features[name] for name in roi_heads.box_in_features], [boxes])
    logits, _ = roi_heads.box_predictor(roi_heads.box_head(pooled))
    return logits[:, :-1].argmax(dim=1)
