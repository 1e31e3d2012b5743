"""quick/attribute_rcnn_tiny.yaml as a LazyConfig: trains from scratch on a CPU."""

from detectron2 import model_zoo
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.modeling.backbone.resnet import BasicBlock
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from kfashion_d2.modeling import AttributeStandardROIHeads

from ..common.attribute_branch import add_attribute_branch, without_masks
from ..common.data import dataloader, kfashion, schema  # noqa: F401
from ..common.train import train

kfashion.classes = "part"
model = without_masks(model_zoo.get_config("common/models/mask_rcnn_fpn.py").model)
model.pixel_mean, model.pixel_std = [127.5] * 3, [57.0] * 3
model.backbone.bottom_up = L(ResNet)(
    stem=L(BasicStem)(in_channels=3, out_channels=24, norm="BN"),
    stages=[
        L(ResNet.make_stage)(
            block_class=BasicBlock,
            num_blocks=2,
            stride_per_block=[1 if i == 0 else 2, 1],
            in_channels=24 * 2 ** max(i - 1, 0),
            out_channels=24 * 2**i,
            norm="BN",
        )
        for i in range(4)
    ],
    out_features=["res3", "res4", "res5"],
)
model.backbone.out_channels = 64
_rpn = model.proposal_generator
_rpn.update(in_features=["p3", "p4", "p5"], batch_size_per_image=64, pre_nms_topk=(200, 200), post_nms_topk=(100, 100))
_rpn.anchor_generator.update(sizes=[[24], [48], [80]], strides=[8, 16, 32])
_rpn.head.in_channels = 64
_heads = model.roi_heads
_heads.update(batch_size_per_image=32, box_in_features=["p3", "p4", "p5"])
_heads.box_pooler.scales = (1 / 8, 1 / 16, 1 / 32)
_heads.box_head.update(input_shape=L(ShapeSpec)(channels=64, height=7, width=7), fc_dims=[256])
_heads.box_predictor.input_shape = L(ShapeSpec)(channels=256)
_heads.box_predictor.test_topk_per_image = 20
model = add_attribute_branch(model, AttributeStandardROIHeads, fc_dims=[256])
_heads.num_classes = 4
_heads.attribute_head.conv_dims = [64]
_heads.attribute_head.input_shape.channels = 64

for _loader in (dataloader.train, dataloader.test):
    _loader.mapper.augmentations[0].update(short_edge_length=128, max_size=128)
    _loader.num_workers = 1
dataloader.train.total_batch_size = 8

optimizer = model_zoo.get_config("common/optim.py").AdamW
optimizer.lr, optimizer.weight_decay = 0.001, 0.01
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.0),
    warmup_length=50 / 800,
    warmup_method="linear",
    warmup_factor=0.001,
)
train.update(max_iter=800, eval_period=0, device="cpu")
train.checkpointer.period = 800
train.clip_gradients.update(enabled=True, clip_type="norm", clip_value=10.0)
