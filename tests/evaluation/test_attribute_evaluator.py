import json
import logging
import math

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.modeling import build_model
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.evaluation import AttributeEvaluator
from kfashion_d2.schema import kfashion_schema

NAME = "test_attribute_evaluator"
SCHEMA = kfashion_schema().for_classes("part").subset(["fit", "print"])  # one single group of 7, one multi of 21
TOP, BOTTOM, OUTER, DRESS = range(4)
PARTS = [part.name for part in SCHEMA.parts.labels]


def annotation(part, bbox, fit=-1, prints=(-1,), **more):
    return {
        "part": PARTS[part],
        "category_id": part,
        "bbox": list(bbox),
        "bbox_mode": BoxMode.XYWH_ABS,
        "iscrowd": 0,
        "attributes": {"fit": fit, "print": list(prints), "color": 3},
        **more,
    }


def record(image_id, annotations, height=100, width=200):
    return {"image_id": image_id, "height": height, "width": width, "annotations": annotations}


RECORDS = [
    record(
        7,
        [
            annotation(TOP, (0, 0, 100, 50), fit=0, prints=[1]),
            annotation(BOTTOM, (100, 50, 100, 50), fit=2, prints=[]),
            annotation(TOP, (0, 0, 200, 100), iscrowd=1),
        ],
    ),
    record(3, [annotation(OUTER, (20, 20, 60, 60), prints=[2, 3])]),
    record(5, []),
]


def row(fit, prints):
    scores = np.full(SCHEMA.num_labels, 0.1, dtype=np.float32)
    scores[SCHEMA.slice("fit")][fit] = 0.9
    for label, score in prints.items():
        scores[SCHEMA.slice("print")][label] = score
    return scores


def detections(found, size=(100, 200)):
    """Output for one image of (XYXY box, score, class, row of scores) tuples."""
    rows = np.array([f[3] for f in found], dtype=np.float32).reshape(-1, SCHEMA.num_labels)
    instances = Instances(size)
    instances.pred_boxes = Boxes(torch.tensor([f[0] for f in found], dtype=torch.float32).reshape(-1, 4))
    instances.scores = torch.tensor([f[1] for f in found])
    instances.pred_classes = torch.tensor([f[2] for f in found], dtype=torch.int64)
    instances.pred_attributes = torch.from_numpy(rows)
    return {"instances": instances}


def inputs_of(*image_ids):
    by_id = {r["image_id"]: r for r in DatasetCatalog.get(NAME)}
    return [{key: by_id[i][key] for key in ("image_id", "height", "width")} for i in image_ids]


@pytest.fixture
def register():
    """Register records under NAME, in part mode unless told otherwise."""

    def register(records=RECORDS, schema=SCHEMA, classes="part"):
        DatasetCatalog.register(NAME, lambda: records)
        facts = {"attribute_schema": schema, "classes": classes}
        MetadataCatalog.get(NAME).set(**{key: value for key, value in facts.items() if value is not None})

    yield register
    DatasetCatalog.pop(NAME, None)
    MetadataCatalog.pop(NAME, None)


def evaluate(evaluator, inputs, outputs):
    evaluator.reset()
    evaluator.process(inputs, outputs)
    return evaluator.evaluate()


def found_in_image_7():
    return detections(
        [
            ((0, 0, 100, 50), 0.9, TOP, row(0, {1: 0.8})),
            ((0, 0, 100, 49), 0.8, TOP, row(5, {})),  # the garment is taken
            ((100, 50, 200, 90), 0.7, BOTTOM, row(0, {1: 0.6})),  # IoU 0.8, all wrong
        ]
    )


def test_golden_on_detections(register, caplog):
    register()
    other_class = detections([((20, 20, 80, 80), 0.9, TOP, row(0, {2: 1, 3: 1}))])
    with caplog.at_level(logging.INFO, logger="kfashion_d2"):
        results = evaluate(
            AttributeEvaluator(NAME), inputs_of(7, 3, 5), [found_in_image_7(), other_class, detections([])]
        )
    assert list(results) == ["attributes"]
    metrics = results["attributes"]
    expected = {"garments": 3, "matched": 2, "recall": 200 / 3, "fit/accuracy": 50, "fit/majority": 50}
    # F1 of fit 0 is 2*1/(1+2), of fit 2 zero. Print 1: right once, answered twice; its AP is 1.
    expected |= {"fit/macro_f1": 100 / 3, "fit/support": 2, "print/micro_f1": 200 / 3, "print/mAP": 100}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert "2 of 3 garments" in caplog.text and "33.3" in caplog.text


def test_results_are_plain_floats_and_the_file_is_strict_json(register, tmp_path):
    register()
    results = evaluate(AttributeEvaluator(NAME, output_dir=str(tmp_path)), inputs_of(3), [detections([])])
    assert all(type(value) is float for value in flatten_results_dict(results).values())
    assert math.isnan(results["attributes"]["fit/accuracy"])

    def refuse(constant):
        raise AssertionError(constant)

    written = json.loads((tmp_path / "attribute_metrics.json").read_text(), parse_constant=refuse)
    assert written["dataset"] == NAME
    assert written["attributes"]["fit/accuracy"] is None and written["attributes"]["recall"] == 0
    assert written["attributes"].keys() == results["attributes"].keys()


def test_no_image_at_all(register):
    register(records=[])
    metrics = evaluate(AttributeEvaluator(NAME), [], [])["attributes"]
    assert metrics["garments"] == metrics["matched"] == metrics["fit/support"] == 0
    assert math.isnan(metrics["recall"]) and math.isnan(metrics["mean/accuracy"])


def test_unknown_category_is_found_by_its_part(register):
    schema = kfashion_schema().subset(["fit", "print"])
    bottom = annotation(BOTTOM, (0, 0, 50, 50), fit=0, category_id=-1)
    register([record(1, [bottom])], schema=schema, classes="category")
    jeans, shirt = schema.categories.index("jeans"), schema.categories.index("shirt")
    evaluator = AttributeEvaluator(NAME)
    for category, matched in ((jeans, 1), (shirt, 0)):
        output = detections([((0, 0, 50, 50), 0.9, category, row(0, {}))])
        assert evaluate(evaluator, inputs_of(1), [output])["attributes"]["matched"] == matched


def test_thresholds_are_passed_on(register):
    register()
    strict = AttributeEvaluator(NAME, threshold=0.7, iou_threshold=0.9)
    metrics = evaluate(strict, inputs_of(7), [found_in_image_7()])["attributes"]
    assert (metrics["matched"], metrics["print/micro_f1"]) == (1, 100)
    metrics = evaluate(AttributeEvaluator(NAME, threshold={"print": 0.7}), inputs_of(7), [found_in_image_7()])
    assert metrics["attributes"]["print/micro_f1"] == 100


def random_case(num_images=14):
    rng = np.random.default_rng(0)
    records, outputs = [], {}
    for image_id in rng.permutation(100)[:num_images].tolist():
        boxes = [(int(x), 10, 30, 30) for x in rng.choice([0, 50, 100, 150], rng.integers(0, 4), replace=False)]
        annotations = [annotation(int(rng.integers(4)), b, int(rng.integers(-1, 3)), [1, 4]) for b in boxes]
        records.append(record(image_id, annotations))
        outputs[image_id] = detections(
            [
                ((b[0], b[1], b[0] + 30, b[1] + 30), float(rng.random()), int(rng.integers(2)) + 2 * (i % 2), scores)
                for i, b in enumerate(boxes)
                for scores in rng.random((2, SCHEMA.num_labels))
            ]
        )
    return records, outputs


def test_processes_and_order_do_not_matter(register, monkeypatch):
    records, outputs = random_case()
    register(records)
    ids = list(outputs)

    def run(image_ids):
        evaluator = AttributeEvaluator(NAME)
        evaluator.reset()
        for start in range(0, len(image_ids), 3):
            batch = image_ids[start : start + 3]
            evaluator.process(inputs_of(*batch), [outputs[i] for i in batch])
        return evaluator

    expected = run(ids).evaluate()
    assert 0 < expected["attributes"]["recall"] < 100 and expected["attributes"]["fit/support"] > 2
    assert repr(run(ids[::-1]).evaluate()) == repr(expected)
    assert repr(run([*ids, ids[0], ids[3]]).evaluate()) == repr(expected)  # a sampler that fills up its last batch

    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert run(ids[::2]).evaluate() == {}
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    assert repr(run(ids[1::2]).evaluate()) == repr(expected)


def test_not_distributed_gathers_nothing(register, monkeypatch):
    register()
    monkeypatch.setattr(comm, "gather", lambda *args, **kwargs: pytest.fail("gathered"))
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    evaluator = AttributeEvaluator(NAME, distributed=False)
    assert evaluate(evaluator, inputs_of(7), [found_in_image_7()])["attributes"]["matched"] == 2


def test_reset_forgets(register):
    register()
    evaluator = AttributeEvaluator(NAME)
    evaluate(evaluator, inputs_of(3), [detections([])])
    assert evaluate(evaluator, inputs_of(7), [found_in_image_7()])["attributes"]["garments"] == 2


class Lazy(torch.utils.data.Dataset):
    def __init__(self, records):
        self.records = records

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


class WithIndex(Lazy):
    def index_of(self, image_id):
        return {r["image_id"]: i for i, r in enumerate(self.records)}[image_id]

    def __iter__(self):
        raise AssertionError("a large dataset must not be read as a whole")


@pytest.mark.parametrize("kind", [Lazy, WithIndex])
def test_takes_datasets(register, kind):
    register(kind(RECORDS))
    inputs = [{"image_id": 7, "height": 100, "width": 200}]
    metrics = evaluate(AttributeEvaluator(NAME), inputs, [found_in_image_7()])["attributes"]
    assert metrics["matched"] == 2
    with pytest.raises(ValueError, match="image_id 8 is not in dataset"):
        evaluate(AttributeEvaluator(NAME), [{**inputs[0], "image_id": 8}], [found_in_image_7()])


def test_refuses_what_does_not_fit(register):
    register()
    evaluator = AttributeEvaluator(NAME)
    plain = found_in_image_7()
    plain["instances"].remove("pred_attributes")
    with pytest.raises(ValueError, match="no pred_attributes"):
        evaluate(evaluator, inputs_of(7), [plain])
    wide = found_in_image_7()
    wide["instances"].pred_attributes = torch.zeros(3, 174)
    with pytest.raises(ValueError, match=r"174 columns.*fit, print.*28 labels"):
        evaluate(evaluator, inputs_of(7), [wide])
    with pytest.raises(ValueError, match="do not mean"):
        renamed = SCHEMA.group("fit").replace(name="print"), SCHEMA.group("print").replace(name="fit")
        AttributeEvaluator(NAME, schema=SCHEMA._with_groups(renamed))
    with pytest.raises(ValueError, match="no attribute group 'color'"):
        AttributeEvaluator(NAME, schema=kfashion_schema())


def test_refuses_a_dataset_without_schema_or_with_double_ids(register):
    register([*RECORDS, RECORDS[0]], schema=None)
    with pytest.raises(ValueError, match="no attribute_schema"):
        AttributeEvaluator(NAME)
    with pytest.raises(ValueError, match="same image_id"):
        AttributeEvaluator(NAME, schema=SCHEMA)


def test_a_subset_of_the_groups(register):
    register()
    output = found_in_image_7()
    output["instances"].pred_attributes = output["instances"].pred_attributes[:, SCHEMA.slice("print")]
    results = evaluate(AttributeEvaluator(NAME, schema=SCHEMA.subset(["print"])), inputs_of(7), [output])
    assert results["attributes"]["print/micro_f1"] == pytest.approx(200 / 3)
    assert not any("fit" in name for name in results["attributes"])


class Backbone(nn.Module):
    """Its one feature map is the image."""

    def forward(self, images):
        return {"image": images}


class RoiHeads(nn.Module):
    """The fit of a garment is the grey level at its box's centre; its prints are its part and its class."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward_with_given_boxes(self, features, instances):
        assert not torch.is_grad_enabled()
        self.calls.append([len(x) for x in instances])
        for image, x in zip(features["image"], instances, strict=True):
            assert x.image_size == tuple(image.shape[-2:]) and bool((x.scores == 1).all())
            x.pred_attributes = torch.zeros(len(x), SCHEMA.num_labels)
            for i, (u, v) in enumerate(x.pred_boxes.get_centers().tolist()):
                x.pred_attributes[i, SCHEMA.slice("fit").start + int(image[0, int(v), int(u)])] = 1
                x.pred_attributes[i, SCHEMA.slice("print").start + int(x.parts[i])] = 0.9
                x.pred_attributes[i, SCHEMA.slice("print").start + int(x.pred_classes[i])] = 0.9
        return instances


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.roi_heads = RoiHeads()
        self.weight = nn.Parameter(torch.zeros(1))  # DistributedDataParallel asks for one

    def forward(self, inputs):
        self.backbone(torch.stack([x["image"] for x in inputs]))
        return [detections([]) for _ in inputs]


def quarters(size=(50, 400)):
    """An image whose four quarters have the grey levels 0, 1 / 2, 3: half as high and twice as wide as the records."""
    image = torch.zeros(3, *size)
    image[:, :, size[1] // 2 :] += 1
    image[:, size[0] // 2 :] += 2
    return image


@pytest.fixture
def quartered(register):
    """Garments in the quarters 0 and 3 of one image and in quarter 2 of another, with one empty image."""
    first = annotation(TOP, (10, 10, 60, 30), fit=0, prints=[TOP])
    second = annotation(DRESS, (120, 60, 60, 30), fit=3, prints=[DRESS])
    third = annotation(OUTER, (10, 60, 60, 30), fit=1, prints=[BOTTOM])  # the model will say 2 and "outer"
    register([record(1, [first, second]), record(2, []), record(3, [third])])
    return [{**x, "image": quarters()} for x in inputs_of(1, 2, 3)]


def run_model(evaluator, model, batches):
    """As inference_on_dataset does it."""
    model.eval()
    evaluator.reset()
    for batch in batches:
        evaluator.process(batch, model(batch))
    return evaluator.evaluate()


def check_quartered(results):
    metrics = results["attributes_gt_boxes"]
    assert metrics["fit/accuracy"] == pytest.approx(200 / 3)
    assert (metrics["fit/support"], metrics["print/support"]) == (3, 3)
    assert metrics["print/micro_f1"] == pytest.approx(200 / 3)  # two right of three answers, three true
    assert results["attributes"]["recall"] == 0 and "recall" not in metrics


def test_golden_on_gt_boxes(quartered):
    model = Model()
    evaluator = AttributeEvaluator(NAME, model=model)
    assert not model.backbone._forward_hooks  # not before reset()
    results = inference_on_dataset(model, [quartered[:2], quartered[2:]], evaluator)
    check_quartered(results)
    assert model.roi_heads.calls == [[2, 0], [1]]
    assert not model.backbone._forward_hooks
    rows = evaluator.gt_box_scores
    assert rows.images.tolist() == [0, 0, 2] and rows.scores.dtype == np.float32
    np.testing.assert_array_equal(evaluator.predictions.gt_attributes, rows.scores.astype(np.float16))
    np.testing.assert_array_equal(evaluator.predictions.gt_targets, rows.targets)
    # A second round is a new one, and two resets leave one hook.
    evaluator.reset()
    evaluator.reset()
    assert len(model.backbone._forward_hooks) == 1
    check_quartered(run_model(evaluator, model, [quartered[2:], quartered[:2]]))


def test_gt_boxes_gathered_from_two_processes(quartered, monkeypatch):
    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    run_model(AttributeEvaluator(NAME, model=(model := Model())), model, [quartered[1:]])
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    check_quartered(run_model(AttributeEvaluator(NAME, model=model), model, [quartered[:1]]))


def test_a_batch_without_garments_asks_nothing(quartered):
    model = Model()
    evaluator = AttributeEvaluator(NAME, model=model)
    check_quartered(run_model(evaluator, model, [quartered[1:2], [quartered[0]], [quartered[2]]]))
    assert model.roi_heads.calls == [[2], [1]]
    metrics = run_model(evaluator, model, [quartered[1:2]])["attributes_gt_boxes"]
    assert metrics["fit/support"] == 0


def test_unknown_category_gets_a_valid_class_and_its_part(register):
    schema = kfashion_schema().subset(["fit", "print"])
    garment = annotation(OUTER, (0, 0, 50, 50), fit=0, prints=[0, OUTER], category_id=-1)
    register([record(1, [garment])], schema=schema, classes="category")
    inputs = [{**inputs_of(1)[0], "image": quarters()}]
    model = Model()
    results = run_model(AttributeEvaluator(NAME, model=model), model, [inputs])
    assert results["attributes_gt_boxes"]["print/micro_f1"] == 100


def test_looks_through_distributed_data_parallel(quartered, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(Model())
        check_quartered(run_model(AttributeEvaluator(NAME, model=model), model, [quartered]))
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("runs", ["none", "two", "another batch", "training"])
def test_without_the_features_of_the_batch_one_warning(quartered, caplog, runs):
    class Other(Model):
        def forward(self, inputs):
            if runs == "two":
                super().forward(inputs)
            if runs == "training":
                self.backbone.train()
            if runs != "none":
                super().forward(inputs[:1] if runs == "another batch" else inputs)
            return [detections([]) for _ in inputs]

    model = Other()
    with caplog.at_level(logging.WARNING, logger="kfashion_d2"):
        results = run_model(AttributeEvaluator(NAME, model=model), model, [quartered[:2], quartered[:2]])
    assert list(results) == ["attributes"]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "ground-truth boxes" in caplog.text and not model.roi_heads.calls
    assert not model.backbone._forward_hooks


def test_one_process_without_features_leaves_the_task_out(quartered, monkeypatch):
    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    evaluate(AttributeEvaluator(NAME, model=nn.Identity()), quartered[1:], [detections([])] * 2)
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    model = Model()
    results = run_model(AttributeEvaluator(NAME, model=model), model, [quartered[:1]])
    assert list(results) == ["attributes"] and results["attributes"]["garments"] == 3


def test_a_model_without_backbone_one_warning(quartered, caplog):
    with caplog.at_level(logging.WARNING, logger="kfashion_d2"):
        results = evaluate(AttributeEvaluator(NAME, model=nn.Identity()), quartered, [detections([])] * 3)
    assert list(results) == ["attributes"] and "Identity has no backbone" in caplog.text


def test_a_real_model_agrees_with_its_own_inference_on_given_boxes(register):
    """The caught features give what a second pass of the backbone would."""
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file("quick/attribute_rcnn_tiny.yaml"))
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS = ["fit", "print"]
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    register()
    sizes = {7: (64, 128), 3: (80, 96), 5: (64, 64)}
    inputs = [{**x, "image": torch.rand(3, *sizes[x["image_id"]]) * 255} for x in inputs_of(7, 3, 5)]
    evaluator = AttributeEvaluator(NAME, model=model)
    evaluator.reset()
    with torch.no_grad():
        evaluator.process(inputs, model(inputs))
    scores = np.concatenate(evaluator._scores_on_gt)
    evaluator.evaluate()

    boxes = {7: [[0, 0, 64, 32], [64, 32, 128, 64]], 3: [[9.6, 16, 38.4, 64]], 5: []}
    classes = {7: [TOP, BOTTOM], 3: [OUTER], 5: []}
    given = []
    for x in inputs:
        instances = Instances(sizes[x["image_id"]])
        instances.pred_boxes = Boxes(torch.tensor(boxes[x["image_id"]]).reshape(-1, 4))
        instances.pred_classes = torch.tensor(classes[x["image_id"]], dtype=torch.int64)
        given.append(instances)
    with torch.no_grad():
        expected = model.inference(inputs, given, do_postprocess=False)
    expected = torch.cat([x.pred_attributes for x in expected]).numpy()
    assert expected.shape == (3, SCHEMA.num_labels) and np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(scores, expected, atol=1e-5)
