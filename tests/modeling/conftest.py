import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.schema import kfashion_schema


@pytest.fixture
def tiny_cfg():
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file("quick/attribute_rcnn_tiny.yaml"))
    return cfg


@pytest.fixture
def tiny_model(tiny_cfg):
    torch.manual_seed(0)
    return build_model(tiny_cfg)


def make_targets(garments, size=(128, 128), schema=None):
    """Instances of (box, class, attributes) triples; the class is the part. Rows of the part-mode schema by default."""
    schema = schema or kfashion_schema().for_classes("part")
    targets = Instances(size)
    targets.gt_boxes = Boxes(torch.tensor([g[0] for g in garments], dtype=torch.float32).reshape(-1, 4))
    targets.gt_classes = torch.tensor([g[1] for g in garments], dtype=torch.int64)
    parts = schema.parts.labels
    rows = [torch.from_numpy(schema.encode(g[2], parts[max(g[1], 0)])) for g in garments]
    targets.gt_attributes = torch.stack(rows) if rows else torch.zeros((0, schema.num_labels), dtype=torch.int8)
    return targets


def make_input(targets=None, size=(128, 128), seed=0):
    image = torch.randint(0, 256, (3, *size), generator=torch.Generator().manual_seed(seed)).float()
    result = {"image": image, "height": size[0], "width": size[1]}
    return result if targets is None else {**result, "instances": targets}
