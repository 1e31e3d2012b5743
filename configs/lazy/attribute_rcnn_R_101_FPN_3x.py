"""attribute_rcnn_R_101_FPN_3x.yaml as a LazyConfig."""

from .attribute_rcnn_R_50_FPN_3x import (  # noqa: F401
    dataloader,
    kfashion,
    lr_multiplier,
    model,
    optimizer,
    schema,
    train,
)

model.backbone.bottom_up.stages.depth = 101
train.init_checkpoint = "detectron2://COCO-Detection/faster_rcnn_R_101_FPN_3x/137851257/model_final_f6e8b1.pkl"
