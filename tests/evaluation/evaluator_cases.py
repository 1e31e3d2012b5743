"""Records, outputs and a tiny model that the tests of the evaluator share."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from torch import nn

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
