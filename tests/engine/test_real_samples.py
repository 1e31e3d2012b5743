"""The real thing, small: the tiny model learns three real photographs by heart. Minutes, so `make test-all` runs it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog

from kfashion_d2.config import get_config_file
from kfashion_d2.data import convert_dataset
from kfashion_d2.engine import Trainer, setup_config
from kfashion_d2.evaluation.detection.matching import match_detections

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real samples are not beside this checkout"),
]


@pytest.fixture
def cfg(tmp_path):
    convert_dataset(SAMPLES, tmp_path / "store", workers=1)
    return setup_config(
        get_config_file("quick/attribute_rcnn_tiny.yaml"),
        [
            *("DATASETS.KFASHION.ROOT", str(tmp_path / "store"), "OUTPUT_DIR", str(tmp_path), "SEED", 3),
            # Four of the six garments have no category, hence the parts as classes, which the config states already.
            *("DATASETS.TRAIN", ("kfashion_train",), "DATASETS.TEST", ("kfashion_train",)),
            *("SOLVER.IMS_PER_BATCH", 3, "SOLVER.MAX_ITER", 250, "DATALOADER.NUM_WORKERS", 0),
            *("DATALOADER.ASPECT_RATIO_GROUPING", False),
        ],
    )


def test_learns_the_six_garments_by_heart(cfg):
    torch.manual_seed(3)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()

    results = trainer.results
    assert results["attributes"]["garments"] == 6
    assert results["attributes"]["recall"] == 100

    dataset, model = DatasetCatalog.get("kfashion_train"), trainer.model.eval()
    schema = model.roi_heads.attribute_schema
    known = 0
    for inputs in Trainer.build_test_loader(cfg, "kfashion_train"):
        with torch.no_grad():
            found = model(inputs)[0]["instances"]
        annos = dataset[dataset.index_of(inputs[0]["image_id"])]["annotations"]
        boxes = np.array([a["bbox"] for a in annos])
        boxes[:, 2:] += boxes[:, :2]
        matches = match_detections(
            found.pred_boxes.tensor.numpy(),
            found.scores.numpy(),
            found.pred_classes.numpy(),
            boxes,
            np.array([a["category_id"] for a in annos]),
        )
        assert (matches >= 0).all()
        for anno, row in zip(annos, found.pred_attributes[matches].numpy(), strict=True):
            target = schema.encode(anno["attributes"], anno["part"])
            for group in schema.groups:
                truth, scores = target[schema.slice(group.name)], row[schema.slice(group.name)]
                if (truth < 0).any():
                    continue
                known += 1
                right = scores.argmax() == truth.argmax() if group.is_single else ((scores >= 0.5) == truth).all()
                assert right, (inputs[0]["image_id"], anno["part"], group.name)
    assert known == 29  # by hand: 8 and 11 of the labelled pair, 2 and 3 of each pair without a category
