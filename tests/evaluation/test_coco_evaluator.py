import json
import math

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances

from kfashion_d2.data import coco_json_file, convert_dataset, register_kfashion
from kfashion_d2.evaluation import KFashionCOCOEvaluator
from kfashion_d2.evaluation.coco_evaluator import _Detections
from tests.data.conversion.test_convert import with_id, write

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


@pytest.fixture
def demo(demo_store):
    name = "kfashion_coco_demo"
    register_kfashion(name, demo_store / "train")
    coco_json_file(name)
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def drawn_outputs(name, seed=0):
    """Boxes and masks about the garments and elsewhere, with equal scores."""
    rng = np.random.default_rng(seed)
    num_classes = len(MetadataCatalog.get(name).thing_classes)
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
        inputs.append({"image_id": record["image_id"]})
        outputs.append({"instances": instances})
    return inputs, outputs


def no_worse(results):
    return {task: {k: -1 if v != v else v for k, v in metrics.items()} for task, metrics in results.items()}


def evaluated(evaluator, inputs, outputs):
    evaluator.reset()
    evaluator.process(inputs, outputs)
    return no_worse(evaluator.evaluate())


def test_equals_detectron2s_own(demo, tmp_path):
    inputs, outputs = drawn_outputs(demo)
    ours = evaluated(KFashionCOCOEvaluator(demo, output_dir=str(tmp_path / "a")), inputs, outputs)
    theirs = evaluated(COCOEvaluator(demo, output_dir=str(tmp_path / "b"), use_fast_impl=False), inputs, outputs)
    assert set(theirs) == {"bbox", "segm"}
    assert 0 < theirs["segm"]["AP"] < theirs["bbox"]["AP"] < 100
    for task in ("bbox", "segm"):
        assert ours[task] == pytest.approx(theirs[task], abs=1e-9)
    a, b = (json.loads((tmp_path / x / "coco_instances_results.json").read_text("utf-8")) for x in "ab")
    assert sorted(map(json.dumps, a)) == sorted(map(json.dumps, b))


def test_without_ignore_regions_equals_detectron2_on_a_set_without_them(demo):
    inputs, outputs = drawn_outputs(demo)
    evaluator = KFashionCOCOEvaluator(demo, ("bbox",))
    assert any(a["iscrowd"] for a in evaluator._coco_api.anns.values())
    ours = evaluated(evaluator, inputs, outputs)
    peer = COCOEvaluator(demo, ("bbox",), use_fast_impl=False)
    kept = [a for a in peer._coco_api.dataset["annotations"] if not a["iscrowd"]]
    peer._coco_api.dataset["annotations"] = kept
    peer._coco_api.createIndex()
    assert ours["bbox_no_ignore"] == pytest.approx(evaluated(peer, inputs, outputs)["bbox"], abs=1e-9)
    assert ours["bbox_no_ignore"] != ours["bbox"]
    assert list(ours) == ["bbox", "bbox_no_ignore"]


def test_results_depend_neither_on_processes_nor_on_order(demo, monkeypatch, tmp_path):
    inputs, outputs = drawn_outputs(demo)
    one = KFashionCOCOEvaluator(demo, output_dir=str(tmp_path / "one"))
    expected = evaluated(one, inputs, outputs)
    ranks = [KFashionCOCOEvaluator(demo, output_dir=str(tmp_path / "two")) for _ in range(3)]
    for rank, evaluator in enumerate(ranks):
        evaluator.reset()
        seen = range(len(inputs))[rank::2][::-1] if rank < 2 else []  # the last process saw nothing
        order = [*seen, 0] if rank == 1 else seen  # and one image was seen twice
        evaluator.process([inputs[i] for i in order], [outputs[i] for i in order])
    others = [[_Detections.concatenate(e._seen)] if e._seen else [] for e in ranks[1:]]
    monkeypatch.setattr("kfashion_d2.evaluation.coco_evaluator.comm.gather", lambda mine, dst: [mine, *others])
    assert no_worse(ranks[0].evaluate()) == expected
    files = [(tmp_path / x / "coco_instances_results.json").read_bytes() for x in ("one", "two")]
    assert files[0] == files[1]


def test_very_many_detections_give_the_same(demo, monkeypatch):
    inputs, outputs = drawn_outputs(demo)
    few = evaluated(KFashionCOCOEvaluator(demo), inputs, outputs)
    monkeypatch.setattr("kfashion_d2.evaluation.coco_ap.LARGE", 0)
    many = evaluated(KFashionCOCOEvaluator(demo), inputs, outputs)
    assert set(few) == {"bbox", "segm", "bbox_no_ignore", "segm_no_ignore"}
    for task, metrics in few.items():
        assert many[task] == pytest.approx(metrics, abs=1e-9), task


def test_some_images_only(demo):
    inputs, outputs = drawn_outputs(demo)
    evaluator, peer = KFashionCOCOEvaluator(demo, ("bbox",)), COCOEvaluator(demo, ("bbox",), use_fast_impl=False)
    ids = [x["image_id"] for x in inputs[:4]]
    for each in (evaluator, peer):
        each.reset()
        each.process(inputs, outputs)
    expected = no_worse(peer.evaluate(img_ids=ids))["bbox"]
    assert no_worse(evaluator.evaluate(img_ids=ids))["bbox"] == pytest.approx(expected, abs=1e-9)


def test_no_detections(evaluator):
    evaluator.reset()
    assert evaluator.evaluate() == {}
    evaluator.process([{"image_id": 1}], [detections()])
    results = evaluator.evaluate()
    assert list(results) == ["bbox", "bbox_no_ignore"]
    assert math.isnan(results["bbox"]["AP"])


def test_mistakes_are_named(evaluator, demo):
    with pytest.raises(ValueError, match="task 'keypoints' cannot be evaluated"):
        KFashionCOCOEvaluator(demo, ("keypoints",))
    evaluator.reset()
    with pytest.raises(ValueError, match="image_id 99 is not in"):
        evaluator.process([{"image_id": 99}], [detections(0.5)])
    wrong = detections(0.5)
    wrong["instances"].pred_classes += 100
    evaluator.process([{"image_id": 1}], [wrong])
    with pytest.raises(ValueError, match=r"a prediction has class 102, but .* has only 21 classes"):
        evaluator.evaluate()
