import sys

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from benchmarks.memory import NAME, memory_curve, register_images
from kfashion_d2.evaluation import KFashionEvaluator

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")


@pytest.fixture
def images():
    yield register_images(3)
    DatasetCatalog.pop(NAME)
    MetadataCatalog.pop(NAME)


def test_images_are_the_same_each_time_and_fit_their_boxes(images):
    assert images[1] == images[1] != images[2]
    assert images.index_of(images[2]["image_id"]) == 2
    instances = images.output(0)["instances"]
    assert 1 <= len(instances) <= 20
    for mask, box in zip(instances.pred_masks.numpy(), instances.pred_boxes.tensor.numpy(), strict=True):
        ys, xs = np.nonzero(mask)
        assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == pytest.approx(box.tolist(), abs=2)


def test_curve_evaluates_every_image_once(images):
    evaluator = KFashionEvaluator(NAME, masks=True)
    curve = memory_curve(images, [evaluator], every=2)
    assert [name for name, _ in curve] == ["2", "3", "evaluated"]
    assert evaluator.predictions.image_ids.tolist() == [1, 2, 3]
    assert len(evaluator.predictions.det_masks) == sum(len(images.output(i)["instances"]) for i in range(3))
