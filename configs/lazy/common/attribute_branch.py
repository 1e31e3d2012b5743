"""The attribute branch, for a model of Detectron2's configs/common/models."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from kfashion_d2.engine.lazy_parts import lazy_class_parts
from kfashion_d2.modeling import AttributeCriterion, AttributeHead


def add_attribute_branch(model, roi_heads, *, fc_dims=(1024, 1024), box_features=None):
    """
    Args:
        roi_heads: the class with an attribute branch.
        fc_dims: of the branch.
        box_features: channels of what the box predictor reads, for a branch that reads the same; None: it pools.
    """
    heads = model.roi_heads
    shape = dict(channels=256, height=7, width=7) if box_features is None else dict(channels=box_features)
    heads.update(
        _target_=roi_heads,
        num_classes=21,
        attribute_head=L(AttributeHead)(
            input_shape=L(ShapeSpec)(**shape),
            schema="${schema}",
            class_parts=L(lazy_class_parts)(schema="${schema}", classes="${kfashion.classes}"),
            conv_dims=[],
            fc_dims=list(fc_dims),
            # What docs/ablation.md supports, as in Base-KFashion-RCNN-FPN.yaml.
            loss_weight=0.125,
            mask_impossible=True,
            criterion=L(AttributeCriterion)(schema="${schema}", single="logit_adjusted", tau=0.5),
        ),
    )
    if box_features is None:
        heads.attribute_in_features = "${.box_in_features}"
        heads.attribute_pooler = "${.box_pooler}"
    return model


def without_masks(model):
    for key in ("mask_in_features", "mask_pooler", "mask_head"):
        model.roi_heads.pop(key, None)
    return model
