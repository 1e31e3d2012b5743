"""This module has what the LazyConfig files in configs/lazy call, beside the model's own classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detectron2.data import get_detection_dataset_dicts
from torch import nn
from torch.utils.data import Dataset

from ..config import get_kfashion_cfg
from ..evaluation import KFashionEvaluator
from ..schema import AttributeSchema, kfashion_schema
from .loaders import without_empty_images
from .setup import register_splits
from .trainer import Trainer

__all__ = ["kfashion_evaluator", "kfashion_images", "lazy_class_parts", "lazy_schema"]


def lazy_schema(data: Mapping[str, str], groups: Sequence[str] = ()) -> AttributeSchema:
    """
    Return the schema that a LazyConfig trains.

    Args:
        data: root, image_root, classes and schema, as in ``DATASETS.KFASHION``.
        groups: names of the groups to train; empty: all.
    """
    schema = AttributeSchema.from_file(data["schema"]) if data["schema"] else kfashion_schema()
    return schema.for_classes(data["classes"]).subset(list(groups))


def lazy_class_parts(schema: AttributeSchema, classes: str) -> tuple[int, ...]:
    """Call :meth:`AttributeSchema.class_parts`, as a function."""
    return schema.class_parts(classes)


def kfashion_images(names: str | Sequence[str], data: Mapping[str, str], *, filter_empty: bool = False) -> Dataset:
    """
    Open registered splits as one dataset; those of the converted folder are registered first.

    Args:
        names: as "kfashion_train".
        data: see :func:`lazy_schema`.
        filter_empty: leave out images without a garment, as training does.

    Raises:
        FileNotFoundError: there is no such split.
    """
    names = [names] if isinstance(names, str) else list(names)
    register_splits(data["root"], names, classes=data["classes"], image_root=data["image_root"], schema=data["schema"])
    dataset = get_detection_dataset_dicts(names, filter_empty=filter_empty)
    return without_empty_images(dataset) if filter_empty else dataset


def kfashion_evaluator(
    dataset_name: str,
    *,
    groups: Sequence[str] = (),
    masks: bool = False,
    output_dir: str = "",
    model: nn.Module | None = None,
) -> KFashionEvaluator:
    """
    Build the evaluator of :meth:`Trainer.build_evaluator` without a yaml config.

    Args:
        dataset_name: a registered split.
        groups: those that the model predicts; empty: all.
        masks: whether to score masks too.
        output_dir: of the run.
        model: to score its attributes on ground-truth boxes too.
    """
    cfg = get_kfashion_cfg()
    cfg.MODEL.MASK_ON, cfg.OUTPUT_DIR = masks, output_dir
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS = list(groups)
    return Trainer.build_evaluator(cfg, dataset_name, model=model)
