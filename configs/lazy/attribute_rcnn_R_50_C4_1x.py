"""attribute_rcnn_R_50_C4_1x.yaml as a LazyConfig."""

from .attribute_mask_rcnn_R_50_C4_1x import (  # noqa: F401
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
train.init_checkpoint = "detectron2://COCO-Detection/faster_rcnn_R_50_C4_3x/137849393/model_final_f97cb7.pkl"
