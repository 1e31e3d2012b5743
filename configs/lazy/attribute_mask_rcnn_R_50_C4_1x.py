"""attribute_mask_rcnn_R_50_C4_1x.yaml as a LazyConfig."""

from detectron2 import model_zoo

from kfashion_d2.modeling import AttributeRes5ROIHeads

from .attribute_mask_rcnn_R_50_FPN_1x import (  # noqa: F401
    dataloader,
    kfashion,
    lr_multiplier,
    optimizer,
    schema,
    train,
)
from .common.attribute_branch import add_attribute_branch

model = add_attribute_branch(
    model_zoo.get_config("common/models/mask_rcnn_c4.py").model,
    AttributeRes5ROIHeads,
    fc_dims=[1024],
    box_features=2048,
)
model.backbone.freeze_at = 2
train.init_checkpoint = "detectron2://COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x/137849525/model_final_4ce675.pkl"
