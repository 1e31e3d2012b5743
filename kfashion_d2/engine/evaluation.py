"""This module runs a trained model over a registered split, and keeps what it says of every image in plain arrays."""

from __future__ import annotations

import logging

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.utils import comm
from torch import nn

from ..checkpoint import KFashionCheckpointer, find_weights
from ..data.statistics.label_statistics import label_counts
from ..evaluation import Predictions
from ..modeling.config_checks import check_attribute_branch, check_compiled_operators
from ..schema import AttributeSchema
from .loaders import build_test_loader
from .setup import with_checked_classes
from .trainer import Trainer

__all__ = ["find_dataset", "load_model", "predict_dataset", "training_label_counts"]

logger = logging.getLogger(__name__)


def training_label_counts(cfg: CfgNode, schema: AttributeSchema) -> np.ndarray | None:
    """
    Count garments of ``DATASETS.TRAIN`` that have each label, and those of which it is known, int64 (2, L); None where
    no training set is registered.
    """
    names = [name for name in cfg.DATASETS.TRAIN if MetadataCatalog.get(name).get("evaluator_type") == "kfashion"]
    if not names:
        return None
    return sum(np.stack(label_counts(DatasetCatalog.get(name), schema)).sum(axis=1) for name in names)


def predict_dataset(
    cfg: CfgNode,
    dataset_name: str | None = None,
    *,
    gt_boxes: bool = True,
    model: nn.Module | None = None,
) -> Predictions | None:
    """
    Run the model of a config over a split, in every process that calls it.

    Args:
        cfg: ``MODEL.WEIGHTS`` is the checkpoint; its datasets are registered. ``TEST.MAX_EVAL_IMAGES`` limits the
            images.
        dataset_name: the split; None: the first of ``DATASETS.TEST``.
        gt_boxes: read attributes from the true boxes too.
        model: the model, if it is there already.

    Returns:
        What was predicted, on the main process; None on others.

    Raises:
        FileNotFoundError: there are no weights there.
        ValueError: none are named, there is no such dataset, or the model and the data do not fit.
    """
    cfg = with_checked_classes(cfg)
    dataset_name = find_dataset(cfg, dataset_name)
    metadata = MetadataCatalog.get(dataset_name)
    if model is None:
        model = load_model(cfg)
    schema = metadata.attribute_schema.subset(cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS)
    counts = training_label_counts(cfg, schema) if comm.is_main_process() else None
    if counts is None and comm.is_main_process():
        logger.warning("DATASETS.TRAIN is not there: head, mid and tail cannot be told apart")
    evaluator = Trainer.build_evaluator(
        cfg,
        dataset_name,
        model=model,
        gt_boxes=gt_boxes,
        metrics="none",
        output_dir=None,
        label_counts=counts,
        facts={
            "weights": cfg.MODEL.WEIGHTS,
            "meta_architecture": cfg.MODEL.META_ARCHITECTURE,
            "roi_heads": cfg.MODEL.ROI_HEADS.NAME,
            "score_threshold": cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
            "detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "store_dir": metadata.store_dir,
            "store_hash": metadata.store_hash,
            "image_root": metadata.image_root,
            "schema_file": cfg.DATASETS.KFASHION.SCHEMA,
            "train_datasets": list(cfg.DATASETS.TRAIN),
        },
    )
    inference_on_dataset(model, build_test_loader(cfg, dataset_name), evaluator)
    return evaluator.predictions


def find_dataset(cfg: CfgNode, dataset_name: str | None = None) -> str:
    """
    Return the name of a registered K-Fashion dataset; None: the first of ``DATASETS.TEST``.

    Raises:
        ValueError: there is no such dataset; the message lists those that exist.
    """
    dataset_name = dataset_name or next(iter(cfg.DATASETS.TEST), "")
    known = [name for name in DatasetCatalog.list() if MetadataCatalog.get(name).get("evaluator_type") == "kfashion"]
    if dataset_name not in known:
        raise ValueError(f"no K-Fashion dataset {dataset_name!r}; registered: {', '.join(known) or 'none'}")
    return dataset_name


def load_model(cfg: CfgNode) -> nn.Module:
    """
    Load the trained model of a config, in evaluation mode.

    Raises:
        FileNotFoundError: ``MODEL.WEIGHTS`` is not there.
        ValueError: it is empty, of another schema, or lacks layers of the model; or the model has no attribute branch.
    """
    weights = find_weights(cfg)
    check_attribute_branch(cfg)
    check_compiled_operators(cfg)
    model = Trainer.build_model(cfg)
    KFashionCheckpointer(model).load(weights)
    return model.eval()
