"""attribute_mask_rcnn_vitdet_b.yaml as a LazyConfig; needs timm, as Detectron2's ViT does."""

from functools import partial

from detectron2 import model_zoo
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate

from kfashion_d2.modeling import AttributeStandardROIHeads

from .attribute_mask_rcnn_R_50_FPN_1x import dataloader, kfashion, schema, train  # noqa: F401
from .common.attribute_branch import add_attribute_branch
from .common.schedule import steps

model = add_attribute_branch(model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model, AttributeStandardROIHeads)
optimizer = model_zoo.get_config("common/optim.py").AdamW
optimizer.params.lr_factor_func = partial(get_vit_lr_decay_rate, num_layers=12, lr_decay_rate=0.7)
optimizer.params.overrides = {"pos_embed": {"weight_decay": 0.0}}
lr_multiplier = steps(120000, 160000, 180000, warmup=250)
dataloader.train.mapper.image_format = "RGB"
for _loader in (dataloader.train, dataloader.test):
    _loader.mapper.augmentations[0].max_size = 1024  # padded to a square of this side
train.init_checkpoint = "detectron2://ImageNetPretrained/MAE/mae_pretrain_vit_base.pth?matching_heuristics=True"
