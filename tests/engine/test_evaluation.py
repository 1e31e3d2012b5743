import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.config import get_config_file
from kfashion_d2.data import coco_json_file, register_kfashion
from kfashion_d2.engine import Trainer, predict_dataset, setup_config
from kfashion_d2.engine.loaders import build_test_loader, spread_indices
from kfashion_d2.evaluation import AttributeEvaluator, KFashionCOCOEvaluator, evaluate_predictions

TINY = get_config_file("quick/attribute_rcnn_tiny.yaml")


@pytest.fixture(autouse=True)
def clean_catalogs():
    yield
    for name in [n for n in DatasetCatalog.list() if n.startswith("kfashion_")]:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture(scope="module")
def weights(demo_store, tmp_path_factory):
    """A model that knows nothing, and has an opinion of every box."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    cfg = setup_config(TINY, ["MODEL.DEVICE", "cpu"], register=False)
    KFashionCheckpointer(Trainer.build_model(cfg), str(folder)).save("model")
    return folder / "model.pth"


def make_cfg(demo_store, weights, *opts):
    fast = ["DATALOADER.NUM_WORKERS", 0, "DATASETS.KFASHION.ROOT", str(demo_store), "MODEL.WEIGHTS", str(weights)]
    return setup_config(TINY, [*fast, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0, "MODEL.DEVICE", "cpu", *opts])


def found_in(record, classes, num_labels, rng):
    """Garments with shaken boxes, their mask the box; some of another class, some twice."""
    height, width = record["height"], record["width"]
    boxes, labels = [], []
    for anno in record["annotations"]:
        for _ in range(rng.integers(0, 3)):
            x, y, w, h = anno["bbox"]
            box = np.array([x, y, x + w, y + h]) + rng.normal(size=4) * 0.12 * min(w, h)
            boxes.append(np.sort(box.clip(0, [width, height, width, height]).reshape(2, 2), axis=0).ravel())
            labels.append(anno["category_id"] if rng.random() < 0.8 else int(rng.integers(classes)))
    instances = Instances((height, width))
    instances.pred_boxes = Boxes(torch.tensor(np.array(boxes), dtype=torch.float32).reshape(-1, 4))
    instances.scores = torch.tensor(rng.random(len(boxes)), dtype=torch.float32)
    instances.pred_classes = torch.tensor(labels, dtype=torch.int64).clamp(min=0)
    instances.pred_attributes = torch.rand(len(boxes), num_labels)
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = True
    instances.pred_masks = masks
    return {"instances": instances}


@pytest.mark.parametrize("images", [slice(None), slice(1, 6, 2)], ids=["all", "some"])
def test_ap_from_the_arrays_is_that_of_the_coco_evaluator(demo_store, images):
    name = "kfashion_ap_test"
    register_kfashion(name, demo_store / "train")
    coco_json_file(name)
    dataset = DatasetCatalog.get(name)
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    records = [dataset[i] for i in range(len(dataset))][images]
    outputs = [found_in(r, 21, dataset.schema.num_labels, rng) for r in records]
    inputs = [{key: r[key] for key in ("image_id", "height", "width")} for r in records]
    attributes = AttributeEvaluator(name, keep_masks=True)
    evaluator = KFashionCOCOEvaluator(name, ("bbox", "segm"))
    for one in (attributes, evaluator):
        one.reset()
        one.process(inputs, outputs)
    attributes.evaluate()
    expected = evaluator.evaluate()
    found = evaluate_predictions(attributes.predictions).metrics
    tasks = [task for task in found if task.startswith(("bbox", "segm"))]
    has_unknown = bool((attributes.predictions.gt_classes < 0).any())
    assert set(tasks) == ({"bbox", "segm", "bbox_no_ignore", "segm_no_ignore"} if has_unknown else {"bbox", "segm"})
    assert expected["bbox"]["AP"] > 10 and expected["segm"]["AP"] > 5
    for task in tasks:
        assert found[task] == pytest.approx(expected[task], abs=1e-6, nan_ok=True), task


def test_a_limited_evaluation_sees_the_same_images_spread_over_the_split(demo_store, weights):
    assert spread_indices(10, 4).tolist() == [0, 2, 5, 7] and spread_indices(3, 0).tolist() == [0, 1, 2]
    assert len(np.unique(spread_indices(1000, 999))) == 999 and spread_indices(3, 5).tolist() == [0, 1, 2]
    cfg = make_cfg(demo_store, weights, "TEST.MAX_EVAL_IMAGES", 3, "DATASETS.TEST", ("kfashion_train",))
    ids = [x["image_id"] for batch in build_test_loader(cfg, "kfashion_train") for x in batch]
    dataset = DatasetCatalog.get("kfashion_train")
    assert ids == [dataset[i]["image_id"] for i in (0, 8, 16)]
    results = Trainer.test(cfg, Trainer.build_model(cfg).eval())
    assert results["attributes"]["garments"] == sum(len(dataset[i]["annotations"]) for i in (0, 8, 16))


def test_styles_are_predicted_too(demo_store, tmp_path):
    style_tiny = get_config_file("quick/attribute_rcnn_style_tiny.yaml")
    options = ["DATASETS.KFASHION.ROOT", str(demo_store), "DATALOADER.NUM_WORKERS", 0, "MODEL.DEVICE", "cpu"]
    cfg = setup_config(style_tiny, [*options, "MODEL.STYLE_HEAD.SUB_STYLE", True])
    torch.manual_seed(0)
    model = Trainer.build_model(cfg).eval()
    expected = Trainer.test(cfg, model)
    predictions = predict_dataset(cfg, model=model)
    found = evaluate_predictions(predictions).metrics
    assert found["style"] == pytest.approx(expected["style"], nan_ok=True) and found["style"]["support"] > 0
    assert found["sub_style"] == pytest.approx(expected["sub_style"], nan_ok=True)


def test_predictions_of_a_model_give_what_its_trainer_reports(demo_store, weights):
    cfg = make_cfg(demo_store, weights)
    predictions = predict_dataset(cfg)
    assert predictions.num_images == 8 and predictions.num_detections > 20
    dataset = DatasetCatalog.get("kfashion_val")
    assert predictions.image_ids.tolist() == [dataset[i]["image_id"] for i in range(8)]
    assert predictions.info.model["weights"] == str(weights)
    assert predictions.info.label_counts.shape == (2, predictions.schema.num_labels)
    assert predictions.info.label_counts[1].max() > 24  # of the training split, which has more garments than images
    model = Trainer.build_model(cfg).eval()
    KFashionCheckpointer(model).load(str(weights))
    expected = Trainer.test(cfg, model)
    found = evaluate_predictions(predictions).metrics
    for task, metrics in expected.items():
        named = {name: value for name, value in metrics.items() if name != "recall_class_agnostic"}
        assert {name: found[task][name] for name in named} == pytest.approx(named, abs=1e-6, nan_ok=True), task
    agnostic = found["attributes_class_agnostic"]["recall"]
    assert agnostic == expected["attributes"]["recall_class_agnostic"]
    assert predict_dataset(cfg, gt_boxes=False).gt_attributes is None


def test_mistakes_are_named(demo_store, weights, tmp_path):
    with pytest.raises(ValueError, match=r"no K-Fashion dataset 'coco'; registered: kfashion_train, kfashion_val"):
        predict_dataset(make_cfg(demo_store, weights), "coco")
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty"):
        predict_dataset(make_cfg(demo_store, ""))
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such file"):
        predict_dataset(make_cfg(demo_store, tmp_path / "none.pth"))
