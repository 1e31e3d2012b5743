"""What must hold in all three ROI heads, masks on and off."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from kfashion_d2.modeling import AttributeRCNNWithTTA
from tests.modeling.tiny_models import make_cfg, make_input, make_targets, set_score_threshold, with_masks

KNOWN = {"color": 3, "length": 0, "neckline": 2, "material": [1, 4], "detail": [], "category": 2}
HEADS = ["Standard", "Cascade", "Res5"]


def make_model(head, masks=False, **node):
    torch.manual_seed(0)
    return build_model(make_cfg(head, masks, **node))


@pytest.mark.parametrize("features", ["own", "box"])
@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_training_reaches_every_parameter_even_of_empty_batches(head, masks, features):
    model = make_model(head, masks, FEATURES=features, NUM_CONV=0)
    garment = ([10, 10, 60, 100], 0, KNOWN)
    for batch in ([[garment], [garment]], [[garment], []], [[], []]):
        targets = [make_targets(garments) for garments in batch]
        if masks:
            targets = [with_masks(t) for t in targets]
        model.zero_grad()
        with EventStorage():
            losses = model([make_input(t) for t in targets])
        sum(losses.values()).backward()
        assert (losses["loss_attribute"] > 0) == any(batch)
        assert all(torch.isfinite(loss) for loss in losses.values())
        assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not model.roi_heads._sampled  # nothing is kept after the step


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_detections_empty_or_given(head, masks):
    model = make_model(head, masks).eval()
    batch = [make_input(), make_input(size=(96, 128), seed=1)]
    set_score_threshold(model, 1.1)
    with torch.no_grad():
        for output in model(batch):
            assert output["instances"].pred_attributes.shape == (0, 195)
        set_score_threshold(model, 0.0)
        found = model.inference(batch, do_postprocess=False)
        given = [Instances(x.image_size, pred_boxes=x.pred_boxes, pred_classes=x.pred_classes) for x in found]
        again = model.inference(batch, given, do_postprocess=False)
    for one, other in zip(found, again, strict=True):
        assert len(one) == 20
        assert torch.allclose(one.pred_attributes, other.pred_attributes, atol=1e-6)
        assert one.has("pred_masks") == other.has("pred_masks") == masks


@pytest.mark.parametrize("head", HEADS)
def test_box_features_are_the_box_predictors(head):
    """On the same boxes, the branch reads what the last box predictor reads."""
    model = make_model(head, FEATURES="box", NUM_CONV=0).eval()
    heads, seen = model.roi_heads, []
    predictor = heads.box_predictor[-1] if head == "Cascade" else heads.box_predictor
    predictor.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    boxes = Boxes(torch.tensor([[10.0, 10, 60, 100], [70, 10, 120, 100]]))
    proposals = Instances((128, 128), proposal_boxes=boxes, objectness_logits=torch.zeros(2))
    with torch.no_grad():
        features = model.backbone(model.preprocess_image([make_input()]).tensor)
        if head == "Cascade":  # without refinement every stage sees the proposals themselves
            for stage in heads.box_predictor:
                torch.nn.init.zeros_(stage.bbox_pred.weight)
        heads(None, features, [proposals])
        mine = heads._attribute_features(features, [boxes])
    assert torch.allclose(seen[-1], mine, atol=1e-6)


def test_unknown_features_are_refused():
    with pytest.raises(ValueError, match=r"FEATURES is 'mask'; choose own or box"):
        make_model("Standard", FEATURES="mask")


@pytest.mark.parametrize("head", HEADS)
def test_invalid_masks_do_not_train(head):
    model = make_model(head, masks=True)
    seen = []
    original = model.roi_heads.mask_head.forward
    model.roi_heads.mask_head.forward = lambda x, i: (seen.append((x, i)), original(x, i))[1]
    targets = with_masks(make_targets([([10, 10, 60, 100], 0, KNOWN), ([70, 10, 120, 100], 2, KNOWN)]))
    targets.gt_mask_valid = torch.tensor([False, True])
    with EventStorage():
        losses = model([make_input(targets), make_input(with_masks(make_targets([])))])
    assert torch.isfinite(losses["loss_mask"])
    (x, instances), *_ = seen
    classes = torch.cat([i.gt_classes for i in instances if len(i)])
    assert len(x) == len(classes) > 0
    assert (classes == 2).all()


def test_cascade_drops_proposals_matched_anew_to_an_unknown_class():
    heads = make_model("Cascade").roi_heads
    targets = make_targets([([10, 10, 60, 100], -1, KNOWN), ([70, 10, 120, 100], 2, KNOWN)])
    boxes = torch.tensor([[10.0, 10, 60, 100], [70, 10, 120, 100], [11, 10, 60, 100], [0, 110, 10, 128]])
    proposals = [Instances((128, 128), proposal_boxes=Boxes(boxes)), Instances((128, 128), proposal_boxes=Boxes(boxes))]
    with EventStorage():
        labelled, empty = heads._match_and_label_boxes(proposals, 1, [targets, make_targets([])])
    assert labelled.gt_classes.tolist() == [2, 4]
    assert labelled.proposal_boxes.tensor.tolist() == boxes[[1, 3]].tolist()
    assert labelled.gt_boxes.tensor[0].tolist() == boxes[1].tolist()
    assert empty.gt_classes.tolist() == [4] * 4


@pytest.mark.parametrize("head", HEADS)
def test_only_unknown_garments_train_nothing_but_fail_nowhere(head):
    model = make_model(head)
    if head == "Cascade":  # every proposal of the later stages is the unknown garment's
        model.roi_heads._create_proposals_from_boxes = lambda boxes, sizes: [
            Instances(size, proposal_boxes=Boxes(torch.tensor([[10.0, 10, 60, 100]] * len(b))))
            for b, size in zip(boxes, sizes, strict=True)
        ]
    with EventStorage():
        losses = model([make_input(make_targets([([10, 10, 60, 100], -1, KNOWN)]))])
    assert losses["loss_attribute"].item() == 0
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_augmentation_reads_attributes_from_the_plain_image(head, masks):
    cfg = make_cfg(head, masks)
    cfg.merge_from_list(["TEST.AUG.MIN_SIZES", (96, 160), "TEST.AUG.MAX_SIZE", 200])
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    set_score_threshold(model, 0.05)
    picture = make_input()
    picture.update(height=256, width=256)  # of the file; the network's picture is half of it
    calls = []
    original = model.roi_heads.attribute_head.forward
    model.roi_heads.attribute_head.forward = lambda x, i: (calls.append(len(i)), original(x, i))[1]
    with torch.no_grad():
        (output,) = AttributeRCNNWithTTA(cfg, model)([picture])
        found = output["instances"]
        assert calls == [1]
        assert len(found) > 0
        boxes = Boxes(found.pred_boxes.tensor / 2)
        given = Instances((128, 128), pred_boxes=boxes, pred_classes=found.pred_classes)
        (plain,) = model.inference([make_input()], [given], do_postprocess=False)
    assert torch.allclose(found.pred_attributes, plain.pred_attributes, atol=1e-5)
    assert found.has("pred_masks") == masks
    assert model.roi_heads.attribute_on
    assert getattr(model.roi_heads, "mask_on", False) == masks
