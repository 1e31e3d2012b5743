"""
This module builds ViTDet's backbone (arXiv 2203.16527) for a yaml config: Detectron2's own ViT and
SimpleFeaturePyramid.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, SimpleFeaturePyramid, ViT
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import nn

__all__ = ["build_vitdet_b_backbone"]


@BACKBONE_REGISTRY.register()
def build_vitdet_b_backbone(cfg, input_shape: ShapeSpec) -> SimpleFeaturePyramid:
    """
    Build ViT-B/16 with windows of 14 cells, global attention in every third block, and the maps p2 to p6, as in
    Detectron2's `configs/common/models/mask_rcnn_vitdet.py`.

    Reads ``MODEL.VIT.{IMAGE_SIZE,DROP_PATH_RATE}``, ``MODEL.FPN.OUT_CHANNELS``.

    Raises:
        ModuleNotFoundError: timm, which Detectron2's ViT needs, is not installed.
    """
    if find_spec("timm") is None:
        raise ModuleNotFoundError("Detectron2's ViT needs timm: run 'python -m pip install timm'", name="timm")
    size = cfg.MODEL.VIT.IMAGE_SIZE
    vit = ViT(
        img_size=size,
        in_chans=input_shape.channels,
        patch_size=16,
        embed_dim=768,
        depth=12,
        num_heads=12,
        drop_path_rate=cfg.MODEL.VIT.DROP_PATH_RATE,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        window_block_indexes=[i for i in range(12) if i % 3 != 2],
        out_feature="last_feat",
    )
    return SimpleFeaturePyramid(
        net=vit,
        in_feature="last_feat",
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        scale_factors=(4.0, 2.0, 1.0, 0.5),
        top_block=LastLevelMaxPool(),
        norm="LN",
        square_pad=size,
    )
