import logging
import weakref

import numpy as np
import pytest
import torch
from detectron2.evaluation import inference_on_dataset
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.evaluation import KFashionEvaluator
from kfashion_d2.evaluation.predictions.gt_box_attributes import GTBoxAttributeReader
from kfashion_d2.schema import kfashion_schema
from tests.evaluation.evaluator_cases import (
    BOTTOM,
    NAME,
    OUTER,
    SCHEMA,
    TOP,
    Model,
    annotation,
    check_quartered,
    detections,
    evaluate,
    inputs_of,
    quarters,
    record,
    run_model,
)


def test_golden_on_gt_boxes(quartered):
    model = Model()
    evaluator = KFashionEvaluator(NAME, model=model)
    assert not model.backbone._forward_hooks  # not before reset()
    results = inference_on_dataset(model, [quartered[:2], quartered[2:]], evaluator)
    check_quartered(results)
    assert model.roi_heads.calls == [[2, 0], [1]]
    assert not model.backbone._forward_hooks
    scores = evaluator.gt_box_scores
    predictions = evaluator.predictions
    assert predictions.gt_images.tolist() == [0, 0, 2] and scores.dtype == np.float32
    np.testing.assert_array_equal(predictions.gt_attributes, scores.astype(np.float16))
    assert predictions.gt_targets[:, SCHEMA.slice("fit")].argmax(axis=1).tolist() == [0, 3, 1]
    # A second round is a new one, and two resets leave one hook.
    evaluator.reset()
    evaluator.reset()
    assert len(model.backbone._forward_hooks) == 1
    check_quartered(run_model(evaluator, model, [quartered[2:], quartered[:2]]))


def test_gt_boxes_gathered_from_two_processes(quartered, monkeypatch):
    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    run_model(KFashionEvaluator(NAME, model=(model := Model())), model, [quartered[1:]])
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    check_quartered(run_model(KFashionEvaluator(NAME, model=model), model, [quartered[:1]]))


def test_a_batch_without_garments_asks_nothing(quartered):
    model = Model()
    evaluator = KFashionEvaluator(NAME, model=model)
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
    results = run_model(KFashionEvaluator(NAME, model=model), model, [inputs])
    assert results["attributes_gt_boxes"]["print/micro_f1"] == 100


def test_looks_through_distributed_data_parallel(quartered, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(Model())
        check_quartered(run_model(KFashionEvaluator(NAME, model=model), model, [quartered]))
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
        results = run_model(KFashionEvaluator(NAME, model=model), model, [quartered[:2], quartered[:2]])
    assert list(results) == ["attributes"]
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "ground-truth boxes" in caplog.text and not model.roi_heads.calls
    assert not model.backbone._forward_hooks


def test_one_process_without_features_leaves_the_task_out(quartered, monkeypatch, caplog):
    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    evaluate(KFashionEvaluator(NAME, model=nn.Identity()), quartered[1:], [detections([])] * 2)
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    model = Model()
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="kfashion_d2"):
        results = run_model(KFashionEvaluator(NAME, model=model), model, [quartered[:1]])
    assert list(results) == ["attributes"] and results["attributes"]["garments"] == 3
    assert "another process could not read them" in caplog.text


def test_features_are_let_go(quartered):
    """An evaluation that ends early, here before its batch is processed, must not hold the GPU's memory."""
    model = Model().eval()
    reader = GTBoxAttributeReader(model, SCHEMA)
    reader.start()
    model(quartered)
    features = weakref.ref(reader._features["image"])
    reader.stop()
    assert features() is None


def test_a_model_without_backbone_one_warning(quartered, caplog):
    with caplog.at_level(logging.WARNING, logger="kfashion_d2"):
        results = evaluate(KFashionEvaluator(NAME, model=nn.Identity()), quartered, [detections([])] * 3)
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
    evaluator = KFashionEvaluator(NAME, model=model)
    evaluator.reset()
    with torch.no_grad():
        evaluator.process(inputs, model(inputs))
    evaluator.evaluate()
    indices = evaluator.predictions.image_indices[evaluator.predictions.gt_images]
    assert indices.tolist() == [0, 0, 1]
    scores = evaluator.gt_box_scores

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
