import contextlib
import io
import json
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kfashion_d2.data import coco_json_file, convert_dataset, register_kfashion
from tests.data.annotations import rect, with_id, write


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
