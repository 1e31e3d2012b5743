import json

import numpy as np
import pytest

from kfashion_d2 import kfashion_schema
from kfashion_d2.data.formats.fashionpedia import export_fashionpedia
from kfashion_d2.data.store.dataset import KFashionDataset
from kfashion_d2.evaluation import evaluate_iou_f1
from kfashion_d2.evaluation.detection import attribute_sets
from kfashion_d2.evaluation.detection.attribute_sets import answer_sets, label_sets
from kfashion_d2.evaluation.detection.object_arrays import pack_attributes


def bits(packed, schema):
    return np.unpackbits(packed, axis=1, count=schema.num_labels).astype(bool)


def test_answers_by_hand(monkeypatch):
    monkeypatch.setattr(attribute_sets, "_BLOCK", 2)
    schema = kfashion_schema().subset(["fit", "print"])
    fit, prints = (schema.slice(name) for name in ("fit", "print"))
    scores = np.zeros((3, schema.num_labels), dtype=np.float16)
    scores[0, fit.start + 2], scores[0, fit.start + 4] = 0.3, 0.4
    scores[0, prints.start + 1], scores[0, prints.start + 3] = 0.6, 0.4
    scores[2, prints.start] = 0.9
    found = bits(answer_sets(scores, schema), schema)
    assert np.argwhere(found).tolist() == [[0, fit.start + 4], [0, prints.start + 1], [2, prints.start]]
    lower = bits(answer_sets(scores, schema, {"print": 0.35}), schema)
    assert np.flatnonzero(lower[0]).tolist() == [fit.start + 4, prints.start + 1, prints.start + 3]
    each = {"print": [0.95] * (prints.stop - prints.start)}
    assert bits(answer_sets(scores, schema, each), schema).sum() == 1
    with pytest.raises(ValueError, match=r"scores \(3, 4\) must be"):
        answer_sets(scores[:, :4], schema)


def test_the_labels_of_a_row_are_the_ids_of_the_export(demo_store, tmp_path):
    dataset = KFashionDataset(demo_store / "train", "category_or_part")
    file = export_fashionpedia(dataset, tmp_path / "gt.json")
    gt = json.loads(file.read_text("utf-8"))
    rows = [dataset.schema.encode(a["attributes"], a["part"]) for image in dataset for a in image["annotations"]]
    exported, sound = pack_attributes(
        [a["attribute_ids"] for a in gt["annotations"]], [a["id"] for a in gt["attributes"]]
    )
    assert sound.all()
    np.testing.assert_array_equal(label_sets(np.array(rows)), exported)
    # The export is a ground truth as it stands: the truth as answer is perfect.
    names = ("image_id", "category_id", "bbox", "attribute_ids")
    dt = [{**{name: anno[name] for name in names}, "score": 1.0} for anno in gt["annotations"]]
    ids = [category["id"] for category in gt["categories"]]
    assert evaluate_iou_f1(gt, dt, categories_with_attributes=ids)["iou_f1"]["AP"] == pytest.approx(1)
