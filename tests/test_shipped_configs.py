"""Every shipped config builds its model and takes a step: random weights, a small picture, few proposals."""

from pathlib import Path

import pytest
import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model
from detectron2.modeling.backbone import ViT
from detectron2.structures import PolygonMasks
from detectron2.utils.events import EventStorage

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.modeling import ROI_ATTRIBUTE_HEAD_REGISTRY
from kfashion_d2.schema import AttributeSchema
from tests.modeling.tiny_models import make_input, make_targets

ROOT = Path(get_config_file("Base-KFashion-RCNN-FPN.yaml")).parent
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.yaml") if not path.name.startswith("Base-"))


def load(name):
    if "vitdet" in name:
        pytest.importorskip("timm", reason="Detectron2's ViT needs timm")
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file(name))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    return cfg


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_trains_a_step(name):
    torch.manual_seed(0)
    cfg = load(name)
    cfg.merge_from_list(
        [
            *("MODEL.RPN.POST_NMS_TOPK_TRAIN", 30, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 8),
            *("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 16, "MODEL.VIT.IMAGE_SIZE", 128),
        ]
    )
    model = build_model(cfg)
    schema, mode = AttributeSchema.from_config(cfg), cfg.DATASETS.KFASHION.CLASSES
    head = model.roi_heads.attribute_head
    assert head.schema.hash == schema.hash
    assert model.roi_heads.num_classes == len(schema.thing_classes(mode)) == len(head.class_parts)
    attributes = {"color": 3, "length": 0, "material": [1]}
    targets = make_targets([([10, 10, 60, 100], 0, attributes), ([70, 10, 120, 100], 2, attributes)], schema=schema)
    if cfg.MODEL.MASK_ON:
        corners = torch.tensor([10.0, 10, 60, 10, 60, 100]).numpy()
        targets.gt_masks = PolygonMasks([[corners], [corners]])
        targets.gt_mask_valid = torch.tensor([True, False])
    before = head.predictor.weight.detach().clone()
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-3)
    with EventStorage():
        losses = model([make_input(targets)])
    sum(losses.values()).backward()
    optimizer.step()
    assert all(torch.isfinite(loss) for loss in losses.values()), losses
    assert ("loss_mask" in losses) == cfg.MODEL.MASK_ON
    assert losses["loss_attribute"] > 0
    assert not torch.equal(before, head.predictor.weight)
    # Everything that trains is reached: DistributedDataParallel waits for each parameter.
    unreached = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unreached


@pytest.mark.parametrize("name", CONFIGS)
def test_weights_are_the_zoos(name):
    """An address of the model zoo is one that Detectron2 itself lists."""
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file(name))
    prefix = "detectron2://"
    if cfg.MODEL.WEIGHTS.startswith(prefix) and "ImageNetPretrained" not in cfg.MODEL.WEIGHTS:
        config, number, file = cfg.MODEL.WEIGHTS.removeprefix(prefix).rsplit("/", 2)
        assert model_zoo.get_checkpoint_url(f"{config}.yaml").endswith(f"{config}/{number}/{file}")


def test_registered_heads_are_modules():
    assert all(issubclass(head, torch.nn.Module) for _, head in ROI_ATTRIBUTE_HEAD_REGISTRY)


def test_vitdet_is_vit_b_by_layer():
    cfg = load("attribute_mask_rcnn_vitdet_b.yaml")
    cfg.merge_from_list(["MODEL.VIT.IMAGE_SIZE", 128])
    vit = build_model(cfg).backbone.net
    assert isinstance(vit, ViT)
    assert sum(p.numel() for p in vit.parameters()) > 85e6


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_has_the_losses_that_the_ablation_chose(name):
    node = load(name).MODEL.ROI_ATTRIBUTE_HEAD
    found = node.LOSS_WEIGHT, node.MASK_IMPOSSIBLE, node.LOSS.SINGLE, node.LOSS.TAU, node.LOSS.MULTI
    if node.NAME == "KCoordAttributeHead":  # the baseline stays what it was
        assert found == (1.0, False, "cross_entropy", 1.0, "bce")
    else:
        assert found == (0.125, True, "logit_adjusted", 0.5, "bce")
