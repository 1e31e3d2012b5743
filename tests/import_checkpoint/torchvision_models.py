"""torchvision's detectors with random weights, ours of the same shape, and what the stages of both give."""

import torch
from detectron2.modeling import build_model
from torchvision.models import detection

from kfashion_d2.config import get_config_file, get_kfashion_cfg


def make_theirs(name, num_classes=21, **options):
    """Build a torchvision detector with random weights, activations of a normal size and scores that differ."""
    torch.manual_seed(0)
    few = {"rpn_pre_nms_top_n_test": 200, "rpn_post_nms_top_n_test": 100, "box_detections_per_img": 30}
    model = getattr(detection, name)(
        weights=None, weights_backbone=None, num_classes=num_classes, **few, box_score_thresh=0.1, **options
    )
    for key, layer in model.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
            torch.nn.init.constant_(layer.weight, 0.2 if key.endswith("bn3") else 1.0)
    model.backbone.train()
    with torch.no_grad():
        model.backbone(torch.randn(2, 3, 128, 160))
        model.rpn.head.cls_logits.weight *= 20
        model.roi_heads.box_predictor.cls_score.weight *= 8
        model.roi_heads.box_predictor.cls_score.bias.normal_()
    return model.eval()


def make_ours(config, *opts, num_classes=20):
    """Build our detector of a configuration, with the same limits and without attributes."""
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file(config))
    few = ["MODEL.RPN.PRE_NMS_TOPK_TEST", 200, "MODEL.RPN.POST_NMS_TOPK_TEST", 100, "TEST.DETECTIONS_PER_IMAGE", 30]
    few += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.1, "MODEL.ROI_HEADS.NUM_CLASSES", num_classes]
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.NAME", "StandardROIHeads", *few, *opts])
    return build_model(cfg).eval()


def run_both(theirs, ours, height, width):
    """Run both on one image and give, of theirs and of ours: features, proposals, detections (masks 28 x 28)."""
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))
    theirs.transform.min_size, theirs.transform.max_size = (min(height, width),), max(height, width)
    seen = {}

    def keep(name):
        return lambda module, args, output: seen.update({name: output})

    hooks = [
        theirs.backbone.register_forward_hook(keep("features")),
        theirs.rpn.register_forward_hook(keep("proposals")),
        # A copy: the masks are pasted into the picture later, in the same dict.
        theirs.roi_heads.register_forward_hook(lambda module, args, output: seen.update(found={**output[0][0]})),
        ours.backbone.register_forward_hook(keep("our features")),
        ours.proposal_generator.register_forward_hook(keep("our proposals")),
    ]
    with torch.no_grad():
        theirs([image])
        (found,) = ours.inference([{"image": image * 255}], do_postprocess=False)
    for hook in hooks:
        hook.remove()
    return (
        (list(seen["features"].values()), seen["proposals"][0][0], seen["found"]),
        (list(seen["our features"].values()), seen["our proposals"][0][0].proposal_boxes.tensor, found),
    )
