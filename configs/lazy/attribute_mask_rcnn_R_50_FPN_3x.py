"""attribute_mask_rcnn_R_50_FPN_3x.yaml as a LazyConfig."""

from .attribute_mask_rcnn_R_50_FPN_1x import dataloader, kfashion, model, optimizer, schema, train  # noqa: F401
from .common.schedule import lr_multiplier_3x as lr_multiplier  # noqa: F401

train.max_iter = 540000
