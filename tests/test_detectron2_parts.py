"""Detectron2's own predictor, drawing and mapper on our registered splits; its evaluator: evaluation/."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog, build_detection_train_loader
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from detectron2.utils.visualizer import Visualizer

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.data import register_kfashion
from kfashion_d2.engine import Trainer

NAME = "kfashion_detectron2_parts"


@pytest.fixture
def split(demo_store):
    register_kfashion(NAME, demo_store / "train")
    yield DatasetCatalog.get(NAME)
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.fixture
def cfg(tmp_path):
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file("quick/attribute_rcnn_tiny.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.DATASETS.KFASHION.CLASSES = "category"
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 21
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    cfg.TEST.DETECTIONS_PER_IMAGE = 3
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (NAME,)
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)
    KFashionCheckpointer(model, str(tmp_path)).save("model")
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    return cfg


def with_unknown_category(split):
    return next(r for r in split if any(a["category_id"] == -1 for a in r["annotations"]))


def test_default_predictor_and_visualizer(split, cfg):
    predictor = DefaultPredictor(cfg)
    assert predictor.metadata.thing_classes[2] == "t-shirt"
    record = with_unknown_category(split)
    image = read_image(record["file_name"], format="BGR")
    instances = predictor(image)["instances"]
    assert len(instances) == 3 and instances.pred_attributes.shape == (3, split.schema.num_labels)
    drawn = Visualizer(image[:, :, ::-1], predictor.metadata).draw_instance_predictions(instances).get_image()
    assert drawn.shape == image.shape and (drawn != image[:, :, ::-1]).any()


def test_visualizer_draws_dataset_dicts(split):
    """The outlines lie where the garments are, and nowhere else."""
    record = with_unknown_category(split)
    image = read_image(record["file_name"], format="RGB")
    drawn = Visualizer(image, MetadataCatalog.get(NAME)).draw_dataset_dict(record).get_image()
    changed = (drawn != image).any(axis=2)
    inside = np.zeros_like(changed)
    for x, y, w, h in (anno["bbox"] for anno in record["annotations"]):
        inside[max(int(y) - 25, 0) : int(y + h) + 3, max(int(x) - 3, 0) : int(x + w) + 60] = True  # with their labels
    assert changed[inside].mean() > 0.2 and not changed[~inside].any()


def test_stock_mapper_and_loader_train_a_plain_model(split, cfg):
    mapper = DatasetMapper(cfg, is_train=True)
    record = with_unknown_category(split)
    instances = mapper(record)["instances"]
    classes = [anno["category_id"] for anno in record["annotations"]]
    assert instances.gt_classes.tolist() == classes and -1 in classes
    loader = build_detection_train_loader(
        split, mapper=mapper, total_batch_size=2, aspect_ratio_grouping=False, num_workers=0
    )
    batch = next(iter(loader))
    with (
        EventStorage(),
        pytest.raises(ValueError, match=r"without gt_attributes .* kfashion_d2\.data\.AttributeDatasetM"),
    ):
        build_model(cfg)(batch)  # in silence its attribute loss would be 0
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    with EventStorage():
        losses = build_model(cfg)(batch)
    assert {"loss_cls", "loss_box_reg", "loss_rpn_cls", "loss_rpn_loc"} <= losses.keys()
    assert all(torch.isfinite(loss) for loss in losses.values()) and losses["loss_cls"] > 0
