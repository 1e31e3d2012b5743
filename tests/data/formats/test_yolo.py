from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from kfashion_d2.data import KFashionDataset
from kfashion_d2.data.formats import export_yolo


def test_follows_the_definition(dataset, tmp_path):
    """As a reader of the format sees it: from data.yaml to images, to labels by the path, to pixels by the size."""
    data = yaml.safe_load(export_yolo(dataset, tmp_path / "y").read_text("utf-8"))
    assert data["names"][0] == "top" and data["names"][24] == "other dress" and len(data["names"]) == 25
    found = sorted(Path(data["path"], data["train"]).iterdir())
    assert [path.stem for path in found] == [str(i) for i in sorted(dataset.image_ids)]
    for path in found:
        expected = dataset[dataset.index_of(int(path.stem))]
        label = Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
        rows = np.array([line.split() for line in label.read_text().splitlines()], dtype=float).reshape(-1, 5)
        assert len(rows) == len(expected["annotations"])
        assert ((rows[:, 1:] >= 0) & (rows[:, 1:] <= 1)).all()
        with Image.open(path) as image:
            width, height = image.size
        for (class_id, cx, cy, w, h), anno in zip(rows, expected["annotations"], strict=True):
            assert class_id == anno["category_id"]
            box = [(cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height]
            assert box == pytest.approx(anno["bbox"], abs=1e-4)


def test_a_second_split_joins_the_first_and_again_changes_nothing(demo_store, dataset, tmp_path):
    val = KFashionDataset(demo_store / "val", "category_or_part")
    export_yolo(dataset, tmp_path / "y")
    first = export_yolo(val, tmp_path / "y").read_text()
    assert export_yolo(val, tmp_path / "y").read_text() == first
    assert [yaml.safe_load(first)[name] for name in ("train", "val")] == ["images/train", "images/val"]
    assert len(list((tmp_path / "y/labels/val").iterdir())) == len(val)
