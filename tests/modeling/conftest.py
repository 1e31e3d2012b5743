import pytest
import torch
from detectron2.modeling import build_model

from kfashion_d2.config import get_config_file, get_kfashion_cfg


@pytest.fixture
def tiny_cfg():
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file("quick/attribute_rcnn_tiny.yaml"))
    return cfg


@pytest.fixture
def tiny_model(tiny_cfg):
    torch.manual_seed(0)
    return build_model(tiny_cfg)
