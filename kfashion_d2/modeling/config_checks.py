"""This module refuses, before anything is built, configs whose model cannot have the attribute branch or cannot run."""

from __future__ import annotations

from importlib.util import find_spec

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, ROI_HEADS_REGISTRY, GeneralizedRCNN, PanopticFPN

from .roi_heads import AttributeROIHeadsMixin

__all__ = ["check_attribute_branch", "check_compiled_operators"]


def check_attribute_branch(cfg: CfgNode) -> None:
    """
    Refuse a config whose model has no attribute branch, or parts that K-Fashion's data cannot train.

    Raises:
        ValueError: the message names the key to set, and what it can be.
    """
    model = cfg.MODEL
    architectures, heads = _names(META_ARCH_REGISTRY, _carries_roi_heads), _names(ROI_HEADS_REGISTRY, _has_branch)
    if model.META_ARCHITECTURE not in architectures:
        raise ValueError(
            f"MODEL.META_ARCHITECTURE is {model.META_ARCHITECTURE!r}, which cannot carry the attribute branch: set it "
            f"to {' or '.join(architectures)}, and MODEL.ROI_HEADS.NAME to one of {', '.join(heads)}"
        )
    if model.ROI_HEADS.NAME not in heads:
        raise ValueError(
            f"MODEL.ROI_HEADS.NAME is {model.ROI_HEADS.NAME!r}, which has no attribute branch: set it to one of "
            f"{', '.join(heads)}"
        )
    if model.LOAD_PROPOSALS or model.PROPOSAL_GENERATOR.NAME == "PrecomputedProposals":
        raise ValueError(
            "MODEL.LOAD_PROPOSALS or MODEL.PROPOSAL_GENERATOR.NAME asks for precomputed proposals, which K-Fashion's "
            "splits do not have: set them to False and RPN"
        )
    if model.KEYPOINT_ON:
        raise ValueError("MODEL.KEYPOINT_ON is True, but K-Fashion's garments have no keypoints: set it to False")


def _carries_roi_heads(architecture: object) -> bool:
    is_rcnn = isinstance(architecture, type) and issubclass(architecture, GeneralizedRCNN)
    return is_rcnn and not issubclass(architecture, PanopticFPN)  # type: ignore[arg-type]


def _has_branch(heads: object) -> bool:
    return isinstance(heads, type) and issubclass(heads, AttributeROIHeadsMixin)


def _names(registry, is_wanted) -> list[str]:
    return sorted(name for name, registered in registry if is_wanted(registered))


def check_compiled_operators(cfg: CfgNode) -> None:
    """
    Refuse deformable convolutions where Detectron2 was installed without its compiled operators.

    Raises:
        ValueError: the message says how to install them.
    """
    if any(cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE) and find_spec("detectron2._C") is None:
        raise ValueError(
            f"MODEL.RESNETS.DEFORM_ON_PER_STAGE is {cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE}, but this Detectron2 has no "
            "compiled operators: run 'python tools/install_detectron2.py --from-source', or set all of it to False"
        )
