import csv
import json

import pytest

from kfashion_d2.data import KFashionDataset
from kfashion_d2.data.formats import export_suspects


@pytest.fixture(scope="module")
def dataset(demo_store):
    return KFashionDataset(demo_store / "val")


@pytest.fixture
def rows(dataset):
    """The first two garments of the first image that has two."""
    index = next(i for i in range(len(dataset)) if len(dataset[i]["annotations"]) > 1)
    rows = []
    for place, group in ((1, "fit"), (0, "print")):
        x, y, w, h = dataset[index]["annotations"][place]["bbox"]
        rows.append(
            {
                "rank": len(rows) + 1,
                "image_id": dataset[index]["image_id"],
                "image_index": index,
                "place": place,
                "box": [x, y, x + w, y + h],
                "part": dataset[index]["annotations"][place]["part"],
                "group": group,
                "given": "loose" if group == "fit" else None,
                "given_korean": "루즈" if group == "fit" else None,
                "suggested": "tight",
                "suggested_korean": "타이트",
                "given_score": 0.1,
                "suggested_score": 0.9,
                "margin": 0.8,
            }
        )
    return rows


def test_the_list_names_the_files(dataset, rows, tmp_path):
    export_suspects(rows, tmp_path, dataset)
    with open(tmp_path / "suspects.csv", encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    image = dataset[rows[0]["image_index"]]
    assert image["file_name"].endswith("/" + first["file_name"]) and first["label_file"] == image["label_file"]
    assert (first["rank"], first["given"], first["suggested_korean"], first["place"]) == ("1", "loose", "타이트", "1")
    assert second["given"] == "" and float(second["x1"]) == rows[1]["box"][2]
    assert int(second["index"]) == image["annotations"][0]["index"]


def test_coco_and_fiftyone_point_at_the_garment(dataset, rows, tmp_path):
    written = export_suspects(rows, tmp_path, dataset)
    assert [path.name for path in written] == ["suspects.csv", "suspects_coco.json", "suspects_fiftyone"]
    image = dataset[rows[0]["image_index"]]
    coco = json.loads((tmp_path / "suspects_coco.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["fit", "print"] and len(coco["images"]) == 1
    first, second = coco["annotations"]
    assert first["bbox"] == pytest.approx(image["annotations"][1]["bbox"])
    assert first["segmentation"] == image["annotations"][1]["segmentation"]
    assert (first["category_id"], second["category_id"], second["given"]) == (1, 2, None)
    labels = json.loads((tmp_path / "suspects_fiftyone/labels.json").read_text())["labels"]
    data = json.loads((tmp_path / "suspects_fiftyone/data.json").read_text())
    assert data == {str(image["image_id"]): image["file_name"]}
    first, second = labels[str(image["image_id"])]
    assert (first["label"], second["label"]) == ("loose → tight", "nothing → tight")
    box = [v * s for v, s in zip(first["bounding_box"], [image["width"], image["height"]] * 2, strict=True)]
    assert box == pytest.approx(image["annotations"][1]["bbox"])


def test_without_the_split_there_is_a_list_alone(rows, tmp_path):
    assert export_suspects(rows, tmp_path) == [tmp_path / "suspects.csv"]
    assert "file_name" not in (tmp_path / "suspects.csv").read_text("utf-8-sig").splitlines()[0]
    export_suspects([], tmp_path / "none")
    assert (tmp_path / "none/suspects.csv").read_text("utf-8-sig").startswith("rank,group,given")
