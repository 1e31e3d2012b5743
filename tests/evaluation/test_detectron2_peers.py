"""Detectron2's own evaluator on our registered splits: it must work, and say what ours says."""

import json
import math

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm

from kfashion_d2.data import coco_json_file, convert_dataset, register_kfashion
from kfashion_d2.evaluation import KFashionEvaluator
from tests.data.annotations import with_id, write

NAME = "kfashion_coco_test"
TASKS = ("bbox", "segm")


@pytest.fixture
def register(demo_store):
    """Register a split of the demo set in a class mode."""

    def register(classes="category", split="train"):
        register_kfashion(NAME, demo_store / split, classes)
        coco_json_file(NAME)
        return NAME

    yield register
    DatasetCatalog.pop(NAME, None)
    MetadataCatalog.pop(NAME, None)


@pytest.fixture
def two_images(tmp_path):
    """A t-shirt, and a garment of unknown category."""
    write(tmp_path / "data", "1.json", with_id(1))
    write(tmp_path / "data", "2.json", with_id(2, labels={"색상": "레드"}))
    convert_dataset(tmp_path / "data", tmp_path / "out")
    register_kfashion(NAME, tmp_path / "out/train")
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


def detections(*scores):
    instances = Instances((100, 60))
    instances.pred_boxes = Boxes(torch.tensor([[10.5, 20.5, 50.5, 80.5]] * len(scores)))
    instances.scores = torch.tensor(scores)
    instances.pred_classes = torch.full((len(scores),), 2)
    instances.pred_attributes = torch.zeros(len(scores), MetadataCatalog.get(NAME).attribute_schema.num_labels)
    return {"instances": instances}


def drawn_outputs(name, seed=0):
    """Boxes and masks about the garments and elsewhere, with equal scores."""
    rng = np.random.default_rng(seed)
    metadata = MetadataCatalog.get(name)
    num_classes, num_labels = len(metadata.thing_classes), metadata.attribute_schema.num_labels
    inputs, outputs = [], []
    for record in DatasetCatalog.get(name):
        height, width = record["height"], record["width"]
        boxes, classes = [], []
        for anno in record["annotations"] * 2:
            x, y, w, h = anno["bbox"]
            boxes.append(np.array([x, y, x + w, y + h]) + rng.normal(0, 3, 4))
            classes.append(anno["category_id"] if anno["category_id"] >= 0 and rng.random() < 0.8 else 3)
        boxes.append(np.array([1.0, 1.0, 30.0, 40.0]))
        classes.append(int(rng.integers(num_classes)))
        boxes = torch.tensor(np.array(boxes), dtype=torch.float32)
        instances = Instances((height, width))
        instances.pred_boxes = Boxes(boxes)
        instances.scores = torch.tensor(np.round(rng.random(len(boxes)), 1), dtype=torch.float32)
        instances.pred_classes = torch.tensor(classes)
        masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().clamp(min=0).tolist(), strict=True):
            mask[y1:y2, x1 : (x1 + 4 * x2) // 5] = True
        instances.pred_masks = masks
        instances.pred_attributes = torch.zeros(len(boxes), num_labels)
        inputs.append({"image_id": record["image_id"]})
        outputs.append({"instances": instances})
    return inputs, outputs


def evaluated(evaluator, inputs, outputs, **options):
    evaluator.reset()
    evaluator.process(inputs, outputs)
    results = evaluator.evaluate(**options)
    coco = {task: metrics for task, metrics in results.items() if task.startswith(TASKS)}
    return {task: {name: -1 if math.isnan(x) else x for name, x in metrics.items()} for task, metrics in coco.items()}


@pytest.mark.parametrize("classes", ["category", "part", "category_or_part"])
def test_ap_and_the_results_file_are_detectron2s_own(register, classes, tmp_path):
    name = register(classes)
    inputs, outputs = drawn_outputs(name)
    ours = evaluated(KFashionEvaluator(name, masks=True, output_dir=str(tmp_path / "a")), inputs, outputs)
    theirs = evaluated(COCOEvaluator(name, output_dir=str(tmp_path / "b"), use_fast_impl=False), inputs, outputs)
    assert set(theirs) == set(TASKS)
    assert 0 < theirs["segm"]["AP"] < theirs["bbox"]["AP"] < 100
    for task in TASKS:
        assert ours[task] == pytest.approx(theirs[task], abs=1e-6)
    a, b = (json.loads((tmp_path / x / "coco_instances_results.json").read_text("utf-8")) for x in "ab")
    assert sorted(map(json.dumps, a)) == sorted(map(json.dumps, b))


def test_without_ignore_regions_equals_detectron2_on_a_set_without_them(register):
    name = register()
    inputs, outputs = drawn_outputs(name)
    ours = evaluated(KFashionEvaluator(name), inputs, outputs)
    peer = COCOEvaluator(name, ("bbox",), use_fast_impl=False)
    garments = [a for a in peer._coco_api.dataset["annotations"] if not a["iscrowd"]]
    assert len(garments) < len(peer._coco_api.dataset["annotations"])
    peer._coco_api.dataset["annotations"] = garments
    peer._coco_api.createIndex()
    assert ours["bbox_no_ignore"] == pytest.approx(evaluated(peer, inputs, outputs)["bbox"], abs=1e-6)
    assert ours["bbox_no_ignore"] != ours["bbox"]
    assert list(ours) == ["bbox", "bbox_no_ignore"]


def test_some_images_only(register):
    name = register()
    inputs, outputs = drawn_outputs(name)
    inputs, outputs = inputs[:4], outputs[:4]
    peer = COCOEvaluator(name, ("bbox",), use_fast_impl=False)
    expected = evaluated(peer, inputs, outputs, img_ids=[x["image_id"] for x in inputs])["bbox"]
    assert evaluated(KFashionEvaluator(name), inputs, outputs)["bbox"] == pytest.approx(expected, abs=1e-6)


def test_both_readings_of_unknown_garments(two_images):
    """The detection on the unknown garment has the better score: without the excuse it halves the precision."""
    evaluator = KFashionEvaluator(two_images)
    for _ in range(2):  # an evaluator can be used again
        results = evaluated(evaluator, [{"image_id": 1}, {"image_id": 2}], [detections(0.5), detections(0.9)])
        assert results["bbox"]["AP50"] == pytest.approx(100)
        assert results["bbox_no_ignore"]["AP50"] == pytest.approx(50)


def test_files_depend_neither_on_processes_nor_on_order(register, monkeypatch, tmp_path):
    name = register()
    inputs, outputs = drawn_outputs(name)
    one = KFashionEvaluator(name, masks=True, output_dir=str(tmp_path / "one"))
    expected = evaluated(one, inputs, outputs)
    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    indices = range(len(inputs))
    for seen in (indices[1::2][::-1], [0, 0], []):  # backwards; an image twice; nothing
        ranks = KFashionEvaluator(name, masks=True)
        assert evaluated(ranks, [inputs[i] for i in seen], [outputs[i] for i in seen]) == {}
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    main = KFashionEvaluator(name, masks=True, output_dir=str(tmp_path / "two"))
    assert evaluated(main, inputs[::2], outputs[::2]) == expected
    files = [(tmp_path / x / "coco_instances_results.json").read_bytes() for x in ("one", "two")]
    assert files[0] == files[1]


def test_no_detections_find_nothing(two_images, tmp_path):
    evaluator = KFashionEvaluator(two_images, output_dir=str(tmp_path))
    results = evaluated(evaluator, [{"image_id": 1}, {"image_id": 2}], [detections(), detections()])
    assert list(results) == ["bbox", "bbox_no_ignore"]
    assert results["bbox"]["AP"] == 0 and results["bbox"]["AP-t-shirt"] == 0
    assert results["bbox"]["AP-coat"] == -1  # there is none to find
    assert (tmp_path / "coco_instances_results.json").read_bytes() == b"[]"


def test_mistakes_are_named(two_images):
    evaluator = KFashionEvaluator(two_images)
    evaluator.reset()
    with pytest.raises(ValueError, match="image_id 99 is not in dataset"):
        evaluator.process([{"image_id": 99}], [detections(0.5)])
    wrong = detections(0.5)
    wrong["instances"].pred_classes += 100
    with pytest.raises(ValueError, match=r"a prediction has class 102, but .* has only 21 classes"):
        evaluator.process([{"image_id": 1}], [wrong])
    masks = KFashionEvaluator(two_images, masks=True)
    masks.reset()
    with pytest.raises(ValueError, match=r"no pred_masks: evaluate with MODEL\.MASK_ON False"):
        masks.process([{"image_id": 1}], [detections(0.5)])
