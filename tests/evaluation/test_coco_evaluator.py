import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from kfashion_d2.data import coco_json_file, convert_dataset, register_kfashion
from kfashion_d2.evaluation import KFashionCOCOEvaluator
from tests.data.test_convert import with_id, write

NAME = "kfashion_coco_test"


@pytest.fixture
def evaluator(tmp_path):
    write(tmp_path / "data", "1.json", with_id(1))
    write(tmp_path / "data", "2.json", with_id(2, labels={"색상": "레드"}))  # of unknown category
    convert_dataset(tmp_path / "data", tmp_path / "out")
    register_kfashion(NAME, tmp_path / "out/train")
    coco_json_file(NAME)
    yield KFashionCOCOEvaluator(NAME, ("bbox",), output_dir=str(tmp_path))
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def detections(*scores):
    instances = Instances((100, 60))
    instances.pred_boxes = Boxes(torch.tensor([[10.5, 20.5, 50.5, 80.5]] * len(scores)))
    instances.scores = torch.tensor(scores)
    instances.pred_classes = torch.full((len(scores),), 2)
    return {"instances": instances}


def test_both_readings_of_unknown_garments(evaluator):
    """The detection on the unknown garment has the better score: without the excuse it halves the precision."""
    evaluator.reset()
    evaluator.process([{"image_id": 1}, {"image_id": 2}], [detections(0.5), detections(0.9)])
    results = evaluator.evaluate()
    assert results["bbox"]["AP50"] == pytest.approx(100)
    assert results["bbox_no_ignore"]["AP50"] == pytest.approx(50)


def test_can_be_used_again(evaluator):
    for _ in range(2):
        evaluator.reset()
        evaluator.process([{"image_id": 1}], [detections(0.5)])
        assert evaluator.evaluate()["bbox"]["AP50"] == pytest.approx(100)
