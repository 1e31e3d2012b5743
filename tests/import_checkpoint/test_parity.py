"""torchvision's own models and ours, with the same weights, on the same picture."""

import pytest
import torch

from kfashion_d2.import_checkpoint import import_state_dict
from tests.import_checkpoint.torchvision_models import make_ours, make_theirs, run_both

MASK = "torchvision_attribute_mask_rcnn_R_50_FPN.yaml"
V2 = ["MODEL.RESNETS.NORM", "BN", "MODEL.FPN.NORM", "BN", "MODEL.RPN.CONV_DIMS", [-1, -1]]
V2 += ["MODEL.ROI_BOX_HEAD.NUM_CONV", 4, "MODEL.ROI_BOX_HEAD.NUM_FC", 1, "MODEL.ROI_BOX_HEAD.NORM", "BN"]
V2 += ["MODEL.ROI_MASK_HEAD.NORM", "BN"]


@pytest.mark.parametrize(
    "name, opts", [("maskrcnn_resnet50_fpn", []), ("maskrcnn_resnet50_fpn_v2", V2)], ids=["mask", "mask v2"]
)
def test_features_proposals_boxes_and_masks_are_equal(name, opts):
    theirs, ours = make_theirs(name), make_ours(MASK, *opts)
    imported = import_state_dict(theirs.state_dict(), ours)
    assert not ours.load_state_dict(imported.tensors, strict=False).unexpected_keys
    # The second is padded, and its p6 is of an odd number of cells.
    for size in ((128, 192), (150, 190)):
        (features, proposals, found), (our_features, our_proposals, our_found) = run_both(theirs, ours, *size)
        assert len(features) == len(our_features) == 5
        for x, y in zip(features, our_features, strict=True):
            torch.testing.assert_close(y, x, rtol=0, atol=1e-4)
        torch.testing.assert_close(our_proposals, proposals, rtol=0, atol=1e-4)
        assert len(our_found) == 30
        torch.testing.assert_close(our_found.pred_boxes.tensor, found["boxes"], rtol=0, atol=1e-4)
        torch.testing.assert_close(our_found.scores, found["scores"], rtol=0, atol=1e-4)
        assert torch.equal(our_found.pred_classes + 1, found["labels"])  # theirs begin with the background
        assert our_found.pred_classes.unique().numel() > 1
        torch.testing.assert_close(our_found.pred_masks, found["masks"], rtol=0, atol=1e-4)


def test_each_setting_of_the_config_is_needed():
    """With any one of them as Detectron2 has it, the boxes are others: none stands there for show."""
    theirs = make_theirs("fasterrcnn_resnet50_fpn")
    for opts in (
        ["MODEL.ANCHOR_GENERATOR.NAME", "DefaultAnchorGenerator"],
        ["MODEL.RESNETS.STRIDE_IN_1X1", True],
        ["MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlignV2"],
        ["MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 0],
        ["MODEL.PIXEL_MEAN", [103.53, 116.28, 123.675]],
    ):
        ours = make_ours("torchvision_attribute_rcnn_R_50_FPN.yaml", *opts)
        ours.load_state_dict(import_state_dict(theirs.state_dict(), ours).tensors, strict=False)
        (_, _, found), (_, _, our_found) = run_both(theirs, ours, 128, 192)
        same = len(found["boxes"]) == len(our_found)
        assert not same or (found["boxes"] - our_found.pred_boxes.tensor).abs().max() > 1e-2, opts


@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_another_eps_goes_into_the_variances(eps):
    theirs, ours = make_theirs("fasterrcnn_resnet50_fpn"), make_ours("torchvision_attribute_rcnn_R_50_FPN.yaml")
    for layer in theirs.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = eps
            layer.running_var.clamp_(max=0.01)  # where an eps makes a difference
    imported = import_state_dict(theirs.state_dict(), ours, frozen_bn_eps=eps)
    ours.load_state_dict(imported.tensors, strict=False)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        x, y = theirs.backbone(image), ours.backbone(image)
    for a, b in zip(x.values(), y.values(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4 * a.abs().max().item())
    assert any(f"eps {eps:g}" in note for note in imported.notes)
