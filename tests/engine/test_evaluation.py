import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.config import get_config_file
from kfashion_d2.engine import Trainer, predict_dataset, setup_config
from kfashion_d2.engine.loaders import build_test_loader, spread_indices
from kfashion_d2.evaluation import evaluate_predictions

TINY = get_config_file("quick/attribute_rcnn_tiny.yaml")


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
