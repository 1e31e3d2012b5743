"""Tiny models with each of the three ROI heads, and inputs and targets for them."""

import torch
from detectron2.structures import Boxes, Instances, PolygonMasks

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.schema import kfashion_schema


def make_cfg(head, masks=False, **node):
    """Give the tiny configuration with one of the three ROI heads; `node` has keys of ROI_ATTRIBUTE_HEAD."""
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file("quick/attribute_rcnn_tiny.yaml"))
    options = ["MODEL.ROI_HEADS.NAME", f"Attribute{head}ROIHeads", "MODEL.MASK_ON", masks]
    options += ["MODEL.ROI_MASK_HEAD.NUM_CONV", 0, "MODEL.ROI_MASK_HEAD.NAME", "MaskRCNNConvUpsampleHead"]
    if head == "Cascade":
        options += ["MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", True]
    if head == "Res5":  # a C4 model, thin: res4 has 32 channels
        options += ["MODEL.BACKBONE.NAME", "build_resnet_backbone", "MODEL.RESNETS.OUT_FEATURES", ["res4"]]
        options += ["MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 8]
        options += ["MODEL.RESNETS.WIDTH_PER_GROUP", 4, "MODEL.RPN.IN_FEATURES", ["res4"]]
        options += ["MODEL.ROI_HEADS.IN_FEATURES", ["res4"], "MODEL.ANCHOR_GENERATOR.SIZES", [[24, 48, 80]]]
    for name, value in node.items():
        options += [f"MODEL.ROI_ATTRIBUTE_HEAD.{name}", value]
    cfg.merge_from_list(options)
    return cfg


def with_masks(targets):
    """Add each box, as a polygon that may be trained on, to the targets."""
    boxes = targets.gt_boxes.tensor.numpy()
    targets.gt_masks = PolygonMasks([[box[[0, 1, 2, 1, 2, 3, 0, 3]]] for box in boxes])
    targets.gt_mask_valid = torch.ones(len(boxes), dtype=torch.bool)
    return targets


def set_score_threshold(model, value):
    predictors = model.roi_heads.box_predictor
    for predictor in predictors if isinstance(predictors, torch.nn.ModuleList) else [predictors]:
        predictor.test_score_thresh = value


def make_targets(garments, size=(128, 128), schema=None):
    """Make Instances from (box, class, attributes); the class is the part, the schema that of part mode by default."""
    schema = schema or kfashion_schema().for_classes("part")
    targets = Instances(size)
    targets.gt_boxes = Boxes(torch.tensor([g[0] for g in garments], dtype=torch.float32).reshape(-1, 4))
    targets.gt_classes = torch.tensor([g[1] for g in garments], dtype=torch.int64)
    parts = schema.parts.labels
    rows = [torch.from_numpy(schema.encode(g[2], parts[max(g[1], 0)])) for g in garments]
    targets.gt_attributes = torch.stack(rows) if rows else torch.zeros((0, schema.num_labels), dtype=torch.int8)
    return targets


def make_input(targets=None, size=(128, 128), seed=0):
    """Give a model input of noise, with targets where there are any."""
    image = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(seed)).float()
    result = {"image": image, "height": size[0], "width": size[1]}
    return result if targets is None else {**result, "instances": targets}
