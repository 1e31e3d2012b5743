"""
This module says torchvision's parameter names in Detectron2's words, for Faster and Mask R-CNN with ResNet and FPN:
those since version 0.13, the older ones, and the "v2" models.
"""

from __future__ import annotations

import re

__all__ = ["CLASS_LAYERS", "derived", "our_name", "reason_to_leave_out"]

# Layers whose outputs are classes; theirs begin with the background, ours end with it or have none.
CLASS_LAYERS = (
    "roi_heads.box_predictor.cls_score.",
    "roi_heads.box_predictor.bbox_pred.",
    "roi_heads.mask_head.predictor.",
)

# Digits in `{}` are one more than theirs (`+1`), two more (`+2`), or the same.
_NAMES = [
    (r"backbone\.body\.conv1\.(weight)", "backbone.bottom_up.stem.conv1.{0}"),
    (r"backbone\.body\.bn1\.(\w+)", "backbone.bottom_up.stem.conv1.norm.{0}"),
    (r"backbone\.body\.layer(\d)\.(\d+)\.conv(\d)\.(weight)", "backbone.bottom_up.res{0+1}.{1}.conv{2}.{3}"),
    (r"backbone\.body\.layer(\d)\.(\d+)\.bn(\d)\.(\w+)", "backbone.bottom_up.res{0+1}.{1}.conv{2}.norm.{3}"),
    (r"backbone\.body\.layer(\d)\.(\d+)\.downsample\.0\.(weight)", "backbone.bottom_up.res{0+1}.{1}.shortcut.{2}"),
    (r"backbone\.body\.layer(\d)\.(\d+)\.downsample\.1\.(\w+)", "backbone.bottom_up.res{0+1}.{1}.shortcut.norm.{2}"),
    (r"backbone\.fpn\.inner_blocks\.(\d)(?:\.0)?\.(weight|bias)", "backbone.fpn_lateral{0+2}.{1}"),
    (r"backbone\.fpn\.inner_blocks\.(\d)\.1\.(\w+)", "backbone.fpn_lateral{0+2}.norm.{1}"),
    (r"backbone\.fpn\.layer_blocks\.(\d)(?:\.0)?\.(weight|bias)", "backbone.fpn_output{0+2}.{1}"),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.1\.(\w+)", "backbone.fpn_output{0+2}.norm.{1}"),
    (r"rpn\.head\.conv(?:\.0\.0)?\.(weight|bias)", "proposal_generator.rpn_head.conv.{0}"),
    (r"rpn\.head\.cls_logits\.(weight|bias)", "proposal_generator.rpn_head.objectness_logits.{0}"),
    (r"rpn\.head\.bbox_pred\.(weight|bias)", "proposal_generator.rpn_head.anchor_deltas.{0}"),
    (r"roi_heads\.box_head\.fc6\.(weight|bias)", "roi_heads.box_head.fc1.{0}"),
    (r"roi_heads\.box_head\.fc7\.(weight|bias)", "roi_heads.box_head.fc2.{0}"),
    (r"roi_heads\.box_head\.(\d)\.0\.(weight|bias)", "roi_heads.box_head.conv{0+1}.{1}"),
    (r"roi_heads\.box_head\.(\d)\.1\.(\w+)", "roi_heads.box_head.conv{0+1}.norm.{1}"),
    # Behind the convolutions, and a layer that flattens.
    (r"roi_heads\.box_head\.5\.(weight|bias)", "roi_heads.box_head.fc1.{0}"),
    (r"roi_heads\.box_predictor\.(cls_score|bbox_pred)\.(weight|bias)", "roi_heads.box_predictor.{0}.{1}"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)", "roi_heads.mask_head.mask_fcn{0}.{1}"),
    (r"roi_heads\.mask_head\.(\d)\.0\.(weight|bias)", "roi_heads.mask_head.mask_fcn{0+1}.{1}"),
    (r"roi_heads\.mask_head\.(\d)\.1\.(\w+)", "roi_heads.mask_head.mask_fcn{0+1}.norm.{1}"),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(weight|bias)", "roi_heads.mask_head.deconv.{0}"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(weight|bias)", "roi_heads.mask_head.predictor.{0}"),
]
_DEEP_RPN = (r"rpn\.head\.conv\.(\d)\.0\.(weight|bias)", "proposal_generator.rpn_head.conv.conv{0}.{1}")

_LEFT_OUT = [
    (r"orh\..*", "K-COORD's copy of the heads that it started from; its own are under roi_heads"),
    (
        r"roi_heads\.match_predictor\..*",
        "Match R-CNN's pairing of a shop's and a street's garment; our models have no such head",
    ),
    (r"(roi_heads\.)?temporal_aggregator\..*", "SEAM Match R-CNN's pairing over video; our models have no such head"),
    (r"roi_heads\.keypoint_(head|predictor)\..*", "keypoints; our models have no such head"),
    (r".*\.num_batches_tracked", "a counter of training that no layer reads here"),
]


def our_name(name: str, *, deep_rpn: bool = False) -> str | None:
    """
    Translate a name of torchvision's.

    Args:
        name: of a parameter or buffer of torchvision.
        deep_rpn: the RPN's head has two convolutions (the v2 models), which Detectron2 numbers.

    Returns:
        str | None: Detectron2's name; None: there is none.
    """
    for pattern, ours in [_DEEP_RPN, *_NAMES] if deep_rpn else _NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return _fill(ours, match.groups())
    return None


def _fill(template: str, values: tuple[str, ...]) -> str:
    def fill(position: re.Match) -> str:
        value = values[int(position[1])]
        return str(int(value) + int(position[2])) if position[2] else value

    return re.sub(r"\{(\d)(?:\+(\d))?\}", fill, template)


def reason_to_leave_out(name: str) -> str | None:
    """Say why a parameter of theirs has no counterpart in our models; None: nothing is known about it."""
    return next((reason for pattern, reason in _LEFT_OUT if re.fullmatch(pattern, name)), None)


def derived(name: str) -> bool:
    """Say whether a tensor of ours follows from the config and needs no weights."""
    return "anchor_generator.cell_anchors" in name
