"""
This module has a ResNet-FPN small enough to train from scratch on a CPU: Detectron2's own blocks, any stem width.

Detectron2's ResNet-18 builder insists on a 64-channel stem; nothing else is new here.
"""

from __future__ import annotations

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet

__all__ = ["build_small_resnet_fpn_backbone"]


@BACKBONE_REGISTRY.register()
def build_small_resnet_fpn_backbone(cfg, input_shape: ShapeSpec) -> FPN:
    """
    Build basic blocks, two in each of the stages res2 to res5; stage k has `STEM_OUT_CHANNELS` * 2^(k - 2) channels.

    Reads ``MODEL.RESNETS.{STEM_OUT_CHANNELS,NORM}``, ``MODEL.FPN.{IN_FEATURES,OUT_CHANNELS,NORM,FUSE_TYPE}``.
    """
    width, norm = cfg.MODEL.RESNETS.STEM_OUT_CHANNELS, cfg.MODEL.RESNETS.NORM
    stem = BasicStem(in_channels=input_shape.channels, out_channels=width, norm=norm)
    stages, in_channels = [], width
    for i in range(4):
        out_channels = width * 2**i
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                2,
                stride_per_block=[1 if i == 0 else 2, 1],
                in_channels=in_channels,
                out_channels=out_channels,
                norm=norm,
            )
        )
        in_channels = out_channels
    in_features = cfg.MODEL.FPN.IN_FEATURES
    return FPN(
        bottom_up=ResNet(stem, stages, out_features=in_features),
        in_features=in_features,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
