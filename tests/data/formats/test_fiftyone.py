import json
import os

import pytest

from kfashion_d2.data.formats import export_fiftyone


def test_layout_by_hand(states, tmp_path):
    export_fiftyone(states, tmp_path / "f")
    labels = json.loads((tmp_path / "f/labels.json").read_text("utf-8"))
    data = json.loads((tmp_path / "f/data.json").read_text("utf-8"))
    assert labels["classes"][0] == "top" and len(labels["classes"]) == 25
    assert list(labels["labels"]) == list(data) == ["5", "30", "31", "200"]
    assert labels["labels"]["200"] == [] and data["5"] == states[0]["file_name"] and os.path.isabs(data["5"])
    (top,), (unknown,), (trousers,) = (labels["labels"][key] for key in ("5", "30", "31"))
    assert (top["label"], unknown["label"], trousers["label"]) == ("t-shirt", "other top", "pants")
    assert top["bounding_box"] == pytest.approx([10.5 / 60, 0.205, 40 / 60, 0.6])  # an image of 60 x 100
    assert top["attributes"]["collar"] == "none" and top["attributes"]["material"] == ["jersey"]
    assert unknown["attributes"]["collar"] is None and "collar" not in trousers["attributes"]


def test_fiftyone_reads_it(dataset, tmp_path):
    """By its importer, which parses without the database that a whole fiftyone.Dataset needs."""
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    export_fiftyone(dataset, tmp_path / "f")
    reader = importers.FiftyOneImageDetectionDatasetImporter(
        dataset_dir=str(tmp_path / "f"), data_path="data.json", labels_path="labels.json"
    )
    with reader:
        read = {path: detections for path, _, detections in reader}
    assert set(read) == {image["file_name"] for image in dataset}
    names = dataset.schema.thing_classes(dataset.classes)
    for image in dataset:
        detections = read[image["file_name"]].detections if image["annotations"] else []
        assert [d.label for d in detections] == [names[anno["category_id"]].name for anno in image["annotations"]]
        for detection, anno in zip(detections, image["annotations"], strict=True):
            x, y, w, h = detection.bounding_box
            box = [x * image["width"], y * image["height"], w * image["width"], h * image["height"]]
            assert box == pytest.approx(anno["bbox"])
            color = anno["attributes"]["color"]
            assert detection["color"] == (None if color == -1 else dataset.schema.group("color").labels[color].name)
