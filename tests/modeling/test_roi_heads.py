import pytest
import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage

from kfashion_d2.config import get_kfashion_cfg
from tests.modeling.tiny_models import make_input, make_targets

KNOWN = {"color": 3, "sub_color": 21, "length": 0, "neckline": 2, "material": [1, 4], "detail": [], "category": 2}
UNKNOWN = {"color": -1, "material": [-1]}


def run(model, batch):
    with EventStorage():
        return model(batch)


def spy_on_head(model):
    """Keep what the attribute head was given."""
    seen, head = [], model.roi_heads.attribute_head
    original = head.forward

    def forward(x, instances):
        seen.append((x, instances))
        return original(x, instances)

    head.forward = forward
    return seen


@pytest.mark.parametrize(
    "batch",
    [
        [[([10, 10, 60, 100], 0, UNKNOWN)], []],
        [[], []],
    ],
    ids=["nothing known", "no garment at all"],
)
def test_empty_batches_reach_every_parameter(tiny_model, batch):
    losses = run(tiny_model, [make_input(make_targets(garments)) for garments in batch])
    assert losses["loss_attribute"].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in tiny_model.parameters() if p.requires_grad)
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_only_foreground_trains(tiny_model):
    seen, sampled = spy_on_head(tiny_model), []
    sample = tiny_model.roi_heads._sample_proposals
    tiny_model.roi_heads._sample_proposals = lambda *args: (sampled.append(sample(*args)), sampled[-1])[1]
    targets = make_targets([([10, 10, 60, 100], 0, KNOWN), ([60, 20, 120, 120], 1, KNOWN)])
    run(tiny_model, [make_input(targets)])
    (features, (instances,)), (_, classes) = seen[0], sampled[0]
    assert (classes == 4).sum() > 0  # background was sampled, and carries the labels of the nearest garment
    assert len(instances) == len(features) == (classes < 4).sum() > 0
    for row, label in zip(instances.gt_attributes, instances.gt_classes, strict=True):
        assert torch.equal(row, targets.gt_attributes[label])


def test_unknown_class_is_neither_background_nor_class(tiny_model):
    """A proposal on a garment of unknown category must not be sampled, in whatever role."""
    targets = make_targets([([10, 10, 60, 100], -1, KNOWN), ([70, 10, 120, 100], 2, KNOWN)])
    proposals = Instances((128, 128))
    boxes = [[10 + d, 10, 60 + d, 100] for d in range(-3, 4)] + [[70 + d, 10, 120 + d, 100] for d in range(-3, 4)]
    boxes += [[0, 110, 10, 128], [30, 104, 60, 128]]
    proposals.proposal_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32))
    proposals.objectness_logits = torch.zeros(len(boxes))
    tiny_model.roi_heads.batch_size_per_image, tiny_model.roi_heads.positive_fraction = 64, 0.5
    with EventStorage():
        (sampled,) = tiny_model.roi_heads.label_and_sample_proposals([proposals], [targets])
    left = sampled.proposal_boxes.tensor[:, 0] < 20  # the boxes on the unknown garment, but for one at the bottom
    tall = sampled.proposal_boxes.tensor[:, 3] <= 104
    assert not (left & tall).any()
    assert sorted(sampled.gt_classes.tolist()) == [2] * 8 + [4] * 2  # seven proposals, the garment itself, background


def test_test_time_outputs(tiny_model):
    tiny_model.eval()
    tiny_model.roi_heads.box_predictor.test_score_thresh = 0.0
    with torch.no_grad():
        (output,) = tiny_model([make_input(size=(96, 128))])
    instances = output["instances"]
    assert len(instances) == 20
    assert instances.pred_attributes.shape == (20, 195)
    schema = tiny_model.roi_heads.attribute_schema
    color, sleeve = schema.slice("color"), schema.slice("sleeve_length")
    assert torch.allclose(instances.pred_attributes[:, color].sum(dim=1), torch.ones(20))
    expected = (instances.pred_classes != 1).float()  # bottoms have no sleeves
    assert torch.allclose(instances.pred_attributes[:, sleeve].sum(dim=1), expected)


def test_no_detection_keeps_the_field(tiny_model):
    tiny_model.eval()
    tiny_model.roi_heads.box_predictor.test_score_thresh = 1.1
    with torch.no_grad():
        (output,) = tiny_model([make_input()])
    assert output["instances"].pred_attributes.shape == (0, 195)


def test_given_boxes_equal_the_detections(tiny_model):
    tiny_model.eval()
    tiny_model.roi_heads.box_predictor.test_score_thresh = 0.0
    batch = [make_input()]
    with torch.no_grad():
        (found,) = tiny_model.inference(batch, do_postprocess=False)
        given = Instances(found.image_size, pred_boxes=found.pred_boxes, pred_classes=found.pred_classes)
        (again,) = tiny_model.inference(batch, [given], do_postprocess=False)
    assert torch.allclose(found.pred_attributes, again.pred_attributes, atol=1e-6)


def test_invalid_masks_do_not_train(tiny_cfg):
    tiny_cfg.merge_from_list(["MODEL.MASK_ON", True, "MODEL.ROI_MASK_HEAD.NUM_CONV", 1])
    model = build_model(tiny_cfg)
    seen = []
    head = model.roi_heads.mask_head
    original = head.forward
    head.forward = lambda x, instances: (seen.append(instances), original(x, instances))[1]
    targets = make_targets([([10, 10, 60, 100], 0, KNOWN), ([70, 10, 120, 100], 2, KNOWN)])
    square = [[10.0, 10, 60, 10, 60, 100]], [[70.0, 10, 120, 10, 120, 100]]
    targets.gt_masks = PolygonMasks([[torch.tensor(p).numpy() for p in polygons] for polygons in square])
    targets.gt_mask_valid = torch.tensor([False, True])
    losses = run(model, [make_input(targets), make_input(make_targets([]))])
    assert torch.isfinite(losses["loss_mask"])
    classes = torch.cat([x.gt_classes for x in seen[0] if len(x)])
    assert len(classes) > 0
    assert (classes == 2).all()


def test_model_zoo_config_becomes_an_attribute_rcnn_by_overrides():
    """ROI_HEADS.NAME and the class mode alone; ResNet-50 itself, one step on a small picture."""
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(model_zoo.get_config_file("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"))
    cfg.merge_from_list(
        [
            *("MODEL.ROI_HEADS.NAME", "AttributeStandardROIHeads", "MODEL.ROI_HEADS.NUM_CLASSES", 4),
            *("DATASETS.KFASHION.CLASSES", "part", "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""),
        ]
    )
    model = build_model(cfg)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = model.roi_heads.attribute_head.predictor.weight.detach().clone()
    losses = run(model, [make_input(make_targets([([10, 10, 60, 100], 0, KNOWN)]))])
    sum(losses.values()).backward()
    optimizer.step()
    assert losses["loss_attribute"] > 0
    assert not torch.equal(before, model.roi_heads.attribute_head.predictor.weight)
