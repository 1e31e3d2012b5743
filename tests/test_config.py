import pytest
import torch
from detectron2.modeling import build_model

from kfashion_d2.config import get_config_file, get_kfashion_cfg, use_available_device


def test_the_tiny_backbone_has_the_strides_its_anchors_expect():
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file("quick/attribute_rcnn_tiny.yaml"))
    model = build_model(cfg)
    shapes = {name: (shape.channels, shape.stride) for name, shape in model.backbone.output_shape().items()}
    assert shapes == {"p3": (64, 8), "p4": (64, 16), "p5": (64, 32), "p6": (64, 64)}
    features = model.backbone(torch.zeros(1, 3, 128, 96))
    assert {name: tuple(x.shape[2:]) for name, x in features.items()} == {
        "p3": (16, 12),
        "p4": (8, 6),
        "p5": (4, 3),
        "p6": (2, 2),
    }


def test_unknown_config_lists_the_shipped_ones():
    with pytest.raises(FileNotFoundError, match=r"'absent.yaml'; choose from .*quick/attribute_rcnn_tiny.yaml"):
        get_config_file("absent.yaml")


@pytest.mark.parametrize("frozen", [True, False])
def test_falls_back_to_the_cpu(monkeypatch, frozen, caplog):
    cfg = get_kfashion_cfg()
    if frozen:
        cfg.freeze()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    use_available_device(cfg)
    assert cfg.MODEL.DEVICE == "cpu"
    assert cfg.is_frozen() == frozen
    assert "no CUDA device" in caplog.text
