"""
This module tunes a trained model's temperatures and thresholds on a labelled split, and keeps them in its checkpoint.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from detectron2.config import CfgNode
from detectron2.evaluation import inference_on_dataset

from ..checkpoint import CALIBRATION_KEY, add_calibration, read_checkpoint
from ..evaluation import Calibration, fit_calibration, write_metrics
from ..evaluation.calibration.reliability import calibration_report, held_out_report
from ..utils.files import new_path
from .evaluation import find_dataset, load_model
from .loaders import build_test_loader
from .setup import with_checked_classes
from .trainer import Trainer, attribute_head

__all__ = ["CalibrationRun", "calibrate"]

logger = logging.getLogger(__name__)

Report = dict[str, dict[str, float]]


class CalibrationRun(NamedTuple):
    """
    This is what a calibration found, and where it is kept.

    Attributes:
        calibration: what was tuned, on all garments of the split.
        report: before and after it, on the same garments; see :func:`calibration_report`.
        held_out: the same, each half of the images after what was tuned on the other.
        checkpoint: the file that holds it now.
        report_file: all of this as JSON, beside it.
        uncalibrated: a copy of the checkpoint as it was, where the calibration was written into the checkpoint itself.
    """

    calibration: Calibration
    report: Report
    held_out: Report
    checkpoint: Path
    report_file: Path
    uncalibrated: Path | None = None


def calibrate(
    cfg: CfgNode,
    *,
    dataset_name: str | None = None,
    output: str | Path | None = None,
    f1: str = "micro",
    target_precision: float = 0.5,
    min_support: int = 10,
) -> CalibrationRun:
    """
    Score every garment of a split on its true box, fit :func:`fit_calibration`, and write the result into the
    checkpoint ``MODEL.WEIGHTS``, in place of one that is there; a copy of it as it was stays beside it. In one process.

    Args:
        cfg: of the trained model, its datasets registered.
        dataset_name: the split; None: the first of ``DATASETS.TEST``. Not the one whose results will be reported.
        output: write the checkpoint there instead, and leave the one of the config alone.
        f1, target_precision, min_support: see :func:`fit_calibration`.

    Raises:
        FileNotFoundError: the checkpoint is not a file on this machine.
        ValueError: it is not ours or of another schema, there is no such dataset, the model has no attribute branch,
            or the split has no labelled garment.
    """
    if cfg.MODEL.WEIGHTS:
        read_checkpoint(cfg.MODEL.WEIGHTS)  # what cannot be written to is refused before the model runs
    cfg = with_checked_classes(cfg)
    cfg.defrost()
    cfg.TEST.MAX_EVAL_IMAGES = 0  # which is for evaluations during training
    dataset_name = find_dataset(cfg, dataset_name)
    model = load_model(cfg)
    head: Any = attribute_head(model)
    if head is None:
        raise ValueError(f"MODEL.ROI_HEADS.NAME is {cfg.MODEL.ROI_HEADS.NAME}: its models have no attributes to tune")
    options: dict[str, Any] = {"f1": f1, "target_precision": target_precision, "min_support": min_support}
    nothing = np.zeros((0, head.schema.num_labels))
    fit_calibration(nothing, nothing, head.schema, **options)  # so are wrong options
    head.calibration = None  # what is tuned are the scores without one
    evaluator = Trainer.build_evaluator(
        cfg, dataset_name, model=model, gt_boxes=True, masks=False, metrics="none", output_dir=None, distributed=False
    )
    inference_on_dataset(model, build_test_loader(cfg, dataset_name), evaluator)
    predictions, scores = evaluator.predictions, evaluator.gt_box_scores
    if scores is None or not (predictions.gt_targets != -1).any():
        raise ValueError(f"no garment of {dataset_name} has a label in the groups {', '.join(head.schema.group_names)}")
    targets = predictions.gt_targets
    settings = {"dataset": dataset_name, "garments": len(targets)}
    calibration = fit_calibration(scores, targets, head.schema, settings=settings, **options)
    report = calibration_report(scores, targets, calibration)
    # Every other image that has a garment, so that both halves hold every kind, however the split is ordered.
    _, images = np.unique(predictions.gt_images, return_inverse=True)
    held_out = held_out_report(scores, targets, images % 2, head.schema, **options)
    uncalibrated = keep_uncalibrated(cfg.MODEL.WEIGHTS) if output is None else None
    checkpoint = add_calibration(cfg.MODEL.WEIGHTS, calibration, output)
    report_file = checkpoint.with_name(f"{checkpoint.stem}_calibration.json")
    write_metrics({"calibration": calibration.to_dict(), "report": report, "held_out": held_out}, report_file)
    logger.info(f"Wrote the calibration into {checkpoint}, and {report_file}")
    return CalibrationRun(calibration, report, held_out, checkpoint, report_file, uncalibrated)


def keep_uncalibrated(checkpoint: str | Path) -> Path:
    """
    Copy a checkpoint to ``<name>_uncalibrated.pth`` beside it, and return that path; a copy that is there already stays
    if the checkpoint has been calibrated since.
    """
    checkpoint = Path(checkpoint)
    copy = checkpoint.with_name(f"{checkpoint.stem}_uncalibrated{checkpoint.suffix}")
    if not (copy.is_file() and CALIBRATION_KEY in read_checkpoint(checkpoint)):
        with new_path(copy, one_writer=True) as temporary:
            shutil.copyfile(checkpoint, temporary)
    return copy
