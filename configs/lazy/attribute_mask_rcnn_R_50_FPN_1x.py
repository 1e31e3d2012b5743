"""attribute_mask_rcnn_R_50_FPN_1x.yaml as a LazyConfig."""

from detectron2 import model_zoo

from kfashion_d2.modeling import AttributeStandardROIHeads

from .common.attribute_branch import add_attribute_branch
from .common.data import dataloader, kfashion, schema  # noqa: F401
from .common.schedule import lr_multiplier_1x as lr_multiplier  # noqa: F401
from .common.train import train

optimizer = model_zoo.get_config("common/optim.py").SGD
model = add_attribute_branch(model_zoo.get_config("common/models/mask_rcnn_fpn.py").model, AttributeStandardROIHeads)
model.backbone.bottom_up.freeze_at = 2
dataloader.train.mapper.use_instance_mask = True
train.init_checkpoint = "detectron2://COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl"
