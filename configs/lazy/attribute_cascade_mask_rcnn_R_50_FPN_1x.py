"""attribute_cascade_mask_rcnn_R_50_FPN_1x.yaml as a LazyConfig."""

from detectron2 import model_zoo

from kfashion_d2.modeling import AttributeCascadeROIHeads

from .attribute_mask_rcnn_R_50_FPN_1x import (  # noqa: F401
    dataloader,
    kfashion,
    lr_multiplier,
    optimizer,
    schema,
    train,
)
from .common.attribute_branch import add_attribute_branch

model = add_attribute_branch(model_zoo.get_config("common/models/cascade_rcnn.py").model, AttributeCascadeROIHeads)
model.backbone.bottom_up.freeze_at = 2
model.proposal_generator.post_nms_topk = (2000, 1000)
train.init_checkpoint = "detectron2://Misc/cascade_mask_rcnn_R_50_FPN_3x/144998488/model_final_480dd8.pkl"
