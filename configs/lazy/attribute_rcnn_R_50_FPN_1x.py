"""attribute_rcnn_R_50_FPN_1x.yaml as a LazyConfig."""

from .attribute_mask_rcnn_R_50_FPN_1x import (  # noqa: F401
    dataloader,
    kfashion,
    lr_multiplier,
    model,
    optimizer,
    schema,
    train,
)
from .common.attribute_branch import without_masks

model = without_masks(model)
dataloader.train.mapper.use_instance_mask = False
train.init_checkpoint = "detectron2://COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl"
