"""This module makes the number of classes in a config agree with the data."""

from __future__ import annotations

from detectron2.config import CfgNode

from ..schema import AttributeSchema

__all__ = ["check_num_classes"]


def check_num_classes(cfg: CfgNode) -> None:
    """
    Set ``MODEL.ROI_HEADS.NUM_CLASSES`` from the data's class mode where it is -1, or refuse one that disagrees.

    Raises:
        ValueError: the two numbers differ.
    """
    mode = cfg.DATASETS.KFASHION.CLASSES
    classes = AttributeSchema.from_config(cfg).thing_classes(mode)
    if cfg.MODEL.ROI_HEADS.NUM_CLASSES == -1:
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(classes)
    if len(classes) != cfg.MODEL.ROI_HEADS.NUM_CLASSES:
        raise ValueError(
            f"MODEL.ROI_HEADS.NUM_CLASSES is {cfg.MODEL.ROI_HEADS.NUM_CLASSES}, but the data has {len(classes)} "
            f"classes (DATASETS.KFASHION.CLASSES: {mode}). Set it to {len(classes)}, or to -1 to take it from the data"
        )
