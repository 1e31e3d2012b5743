import contextlib
import io
import json
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import kfashion_d2.schema
from kfashion_d2.data import coco_json_file, convert_dataset, register, register_kfashion
from kfashion_d2.schema import AttributeSchema
from tests.data.annotations import rect, with_id, write

SCHEMA_FILE = Path(kfashion_d2.schema.__file__).with_name("kfashion.yaml")


@pytest.fixture
def split(tmp_path):
    data = tmp_path / "data"
    write(data, "5.json", with_id(5))
    write(data, "30.json", with_id(30, labels={"색상": "레드"}, polygons={}))  # a top of unknown category
    convert_dataset(data, tmp_path / "out")
    yield tmp_path / "out/train"
    for name in ("kfashion_test", "kfashion_test_part"):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def test_sets_both_catalogs(split):
    register_kfashion("kfashion_test", split, "part")
    metadata = MetadataCatalog.get("kfashion_test")
    assert metadata.thing_classes == ["top", "bottom", "outer", "dress"]
    assert metadata.thing_classes_korean == ["상의", "하의", "아우터", "원피스"]
    assert metadata.evaluator_type == "kfashion"
    assert metadata.attribute_schema.num_labels == 195
    assert DatasetCatalog.get("kfashion_test")[1]["image_id"] == 30


def test_twice_the_same_is_nothing_and_another_is_refused(split):
    register_kfashion("kfashion_test", split)
    register_kfashion("kfashion_test", split)
    with pytest.raises(ValueError, match=r"'kfashion_test' is registered already, with classes 'category'"):
        register_kfashion("kfashion_test", split, "part")


def test_removed_from_the_dataset_catalog_the_name_is_free(split):
    register_kfashion("kfashion_test", split, schema=AttributeSchema.from_file(SCHEMA_FILE))
    held = MetadataCatalog.get("kfashion_test")
    held.thing_colors = [(1, 2, 3)] * 21
    DatasetCatalog.remove("kfashion_test")
    register_kfashion("kfashion_test", split, schema=AttributeSchema.from_file(SCHEMA_FILE))
    DatasetCatalog.remove("kfashion_test")
    register_kfashion("kfashion_test", split, "part")
    assert MetadataCatalog.get("kfashion_test") is held and held.thing_colors[0] == (1, 2, 3)
    assert held.thing_classes == ["top", "bottom", "outer", "dress"] and held.attribute_schema.num_labels == 195
    assert "coco_part_" in held.json_file
    assert DatasetCatalog.get("kfashion_test").classes == "part"


def test_metadata_that_says_something_else_is_refused_and_nothing_is_registered(split):
    MetadataCatalog.get("kfashion_test").set(thing_classes=["person"], note="mine")
    before = MetadataCatalog.get("kfashion_test").as_dict()
    try:
        with pytest.raises(ValueError, match=r"thing_classes \['person'\] instead of"):
            register_kfashion("kfashion_test", split)
        assert "kfashion_test" not in DatasetCatalog
        assert MetadataCatalog.get("kfashion_test").as_dict() == before
    finally:
        MetadataCatalog.remove("kfashion_test")


@pytest.mark.parametrize("classes", ["category", "part", "category_or_part"])
def test_detectron2s_coco_evaluator_needs_no_preparation(split, tmp_path, classes):
    register_kfashion("kfashion_test", split, classes)
    evaluator = COCOEvaluator("kfashion_test", output_dir=str(tmp_path / "out"))
    evaluator.reset()
    for image in DatasetCatalog.get("kfashion_test"):
        instances = Instances((image["height"], image["width"]))
        known = [anno for anno in image["annotations"] if anno["category_id"] >= 0]
        boxes = torch.tensor([anno["bbox"] for anno in known], dtype=torch.float32).reshape(-1, 4)
        instances.pred_boxes = Boxes(torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1))
        instances.scores = torch.ones(len(known))
        instances.pred_classes = torch.tensor([anno["category_id"] for anno in known], dtype=torch.int64)
        evaluator.process([image], [{"instances": instances}])
    assert evaluator.evaluate()["bbox"]["AP"] == pytest.approx(100)
    assert not (tmp_path / "out/kfashion_test_coco_format.json").exists()


def test_a_coco_file_that_cannot_be_written_leaves_no_name_behind(split, monkeypatch):
    register_kfashion("kfashion_test", split)

    def fail(dataset, path):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(register, "write_coco_json", fail)
        with pytest.raises(OSError, match="no space left"):
            COCOEvaluator("kfashion_test", output_dir=str(split))
    metadata = MetadataCatalog.get("kfashion_test")
    assert "json_file" not in metadata.as_dict()
    assert Path(metadata.json_file).is_file()


def test_coco_file(split):
    register_kfashion("kfashion_test", split)
    register_kfashion("kfashion_test_part", split, "part")
    path = coco_json_file("kfashion_test")
    assert path != coco_json_file("kfashion_test_part")
    assert MetadataCatalog.get("kfashion_test").json_file == path
    coco = json.loads(Path(path).read_text("utf-8"))
    assert [c["id"] for c in coco["categories"]] == list(range(1, 22))
    known, *crowds = coco["annotations"]
    assert known["id"] == 1
    assert (known["category_id"], known["bbox"], known["area"], known["iscrowd"]) == (3, [10.5, 20.5, 40, 60], 2400, 0)
    assert [(c["category_id"], c["iscrowd"], c["image_id"]) for c in crowds] == [(i, 1, 30) for i in range(1, 8)]


def average_precision(path, detections):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[1]


def test_a_garment_of_unknown_category_is_neither_right_nor_wrong(split):
    register_kfashion("kfashion_test", split)
    path = coco_json_file("kfashion_test")
    right = {"image_id": 5, "category_id": 3, "bbox": [10.5, 20.5, 40, 60], "score": 0.5}
    on_unknown = {"image_id": 30, "category_id": 3, "bbox": [10, 20, 41, 61], "score": 0.9}
    elsewhere = {**on_unknown, "bbox": [0, 0, 9, 9]}
    of_another_part = {**on_unknown, "category_id": 8}
    assert average_precision(path, [right]) == pytest.approx(1)
    assert average_precision(path, [right, on_unknown]) == pytest.approx(1)
    assert average_precision(path, [right, of_another_part]) == pytest.approx(1)  # its class has no ground truth
    assert average_precision(path, [right, elsewhere]) == pytest.approx(0.5)


def test_the_rect_reaches_the_coco_file_without_a_polygon(tmp_path):
    write(tmp_path / "data", "1.json", with_id(1, polygons={}, rects=rect(5, 6, 20, 30)))
    convert_dataset(tmp_path / "data", tmp_path / "out")
    register_kfashion("kfashion_test", tmp_path / "out/train", "part")
    (anno,) = json.loads(Path(coco_json_file("kfashion_test")).read_text("utf-8"))["annotations"]
    assert (anno["bbox"], anno["area"], anno["mask_valid"]) == ([5, 6, 20, 30], 600, False)
    DatasetCatalog.remove("kfashion_test")
    MetadataCatalog.remove("kfashion_test")
