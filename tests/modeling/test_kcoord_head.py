import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.modeling.kcoord_head import KCoordAttributeHead
from kfashion_d2.schema import AttributeSchema, kfashion_schema
from tests.modeling.tiny_models import make_input, make_targets

SCHEMA = kfashion_schema().subset(["fit", "material", "neckline"])


def make_head():
    head = KCoordAttributeHead(ShapeSpec(channels=1), schema=SCHEMA, class_parts=(0, 1, 2, 3), conv_dims=[], fc_dims=[])
    torch.nn.init.zeros_(head.predictor.weight)
    torch.nn.init.zeros_(head.predictor.bias)
    return head


def test_missing_is_none_and_groups_are_averaged():
    head = make_head()
    assert head.predictor.out_features == (7 + 1) + (25 + 1) + (12 + 1)  # neckline's own none is class 0
    head.predictor.bias.data[0] = 2.0  # fit: none
    garment = Instances((8, 8), gt_classes=torch.tensor([0, 4]))  # one foreground, one background
    rows = [SCHEMA.encode({"fit": -1, "material": [2]}, "top"), SCHEMA.encode({"fit": 3, "neckline": 12}, "top")]
    garment.gt_attributes = torch.stack([torch.from_numpy(row) for row in rows])
    bare = Instances((8, 8), gt_classes=torch.tensor([4]))  # an image without garments: all none
    with EventStorage():
        loss = head(torch.zeros(3, 1), [garment, bare])["loss_attribute"].item()
    log_sum = math.log(math.exp(2) + 7)
    fit = ((log_sum - 2) + log_sum + (log_sum - 2)) / 3
    assert loss == pytest.approx((fit + math.log(2) + math.log(13)) / 3, rel=1e-6)


def test_scores_stand_in_the_schemas_columns():
    head = make_head().eval()
    neckline, (_, outputs, _) = SCHEMA.slice("neckline"), head.positions[2]
    head.predictor.bias.data[outputs.start] = 5.0
    head.predictor.bias.data[head.positions[1][1].start + 1 + 4] = 3.0  # material 4
    found = Instances((8, 8), pred_classes=torch.tensor([0, 1]))
    head(torch.zeros(2, 1), [found])
    scores = found.pred_attributes
    assert scores[0, neckline].argmax().item() == 12
    assert scores[0, neckline].sum().item() == pytest.approx(1)
    assert (scores[1, neckline] == 0).all()
    assert scores[0, SCHEMA.slice("material")].argmax().item() == 4
    assert scores[0, SCHEMA.slice("fit")].tolist() == pytest.approx([1 / 8] * 7)  # class 0 took the eighth part


def test_background_trains_too():
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file("quick/kcoord_attribute_rcnn_tiny.yaml"))
    model = build_model(cfg)
    seen = []
    model.roi_heads.attribute_head.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    schema = AttributeSchema.from_config(cfg)
    assert schema.group_names == ("material", "length", "sleeve_length", "neckline", "collar", "fit")
    targets = make_targets([([10, 10, 60, 100], 0, {"length": 1})], schema=schema)
    with EventStorage():
        model([make_input(targets), make_input(make_targets([], schema=schema))])
    classes = torch.cat([x.gt_classes for x in seen[0]])
    assert len(classes) == 2 * 32
    assert set(classes.tolist()) == {0, 25}
