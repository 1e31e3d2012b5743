"""COCO files as other tools write them: what is mended, what is dropped, what is counted."""

import codecs
import json
import pickle

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kfashion_d2.data import AttributeDatasetMapper, KFashionDataset, import_coco
from kfashion_d2.data.formats import export_coco, export_yolo
from kfashion_d2.data.formats.coco_json import write_coco_json
from kfashion_d2.data.splits.resplit import resplit
from kfashion_d2.data.statistics.label_statistics import label_counts
from kfashion_d2.data.torch_dataset import TorchDataset

T_SHIRT, JEANS = 2, 7
SQUARE = [50, 60, 250, 60, 250, 310, 50, 310]


def coco_file(**anno):
    """A file of one image (400 x 500) with one T-shirt; None takes a key out."""
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [50, 60, 200, 250], "segmentation": [SQUARE], **anno}
    return {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 400, "height": 500}],
        "annotations": [{key: value for key, value in entry.items() if value is not None}],
        "categories": [{"id": 1, "name": "t-shirt"}, {"id": 2, "name": "jeans"}],
    }


def imported(tmp_path, coco):
    """Return the images, and the problems as (reason, action, of, count) but for the image that is not there."""
    data = coco if isinstance(coco, bytes) else json.dumps(coco).encode()
    (tmp_path / "c.json").write_bytes(data)
    counts = import_coco(tmp_path / "c.json", tmp_path / "s/train")
    dataset = KFashionDataset(tmp_path / "s/train")
    assert (len(dataset), dataset.num_garments.sum()) == (counts["images"], counts["garments"])
    assert dataset.meta["garments"] == counts["garments"] + dataset.meta["garments_dropped"]
    assert dataset.meta["annotations"] == counts["images"] + dataset.meta["annotations_dropped"]
    problems = [tuple(problem.values()) for problem in counts["problems"] if problem["reason"] != "image not found"]
    return list(dataset), problems


@pytest.mark.parametrize(
    "anno, bbox, mask_valid, problems",
    [
        ({}, [50, 60, 200, 250], True, []),
        ({"bbox": [-10, 60, 260, 250]}, [0, 60, 250, 250], True, [("bbox leaves the image", "repaired")]),
        ({"bbox": [350, 60, 80, 250], "segmentation": None}, [350, 60, 50, 250], False, [
            ("bbox leaves the image", "repaired"), ("no polygon", "noted"),
        ]),
        ({"bbox": [50, 60, 0, 0]}, [50, 60, 200, 250], True, [("bbox without area", "repaired")]),
        ({"bbox": [250, 310, -200, -250]}, [50, 60, 200, 250], True, [("bbox without area", "repaired")]),
        ({"bbox": [400, 60, 30, 30]}, [50, 60, 200, 250], True, [("bbox outside the image", "repaired")]),
        ({"bbox": None}, [50, 60, 200, 250], True, [("no bbox", "noted")]),
        ({"bbox": ["50", " 60", "200.0", "2.5e2"]}, [50, 60, 200, 250], True, []),
        ({"segmentation": [[*SQUARE, 7]]}, [50, 60, 200, 250], True, [
            ("polygon with an odd number of coordinates", "repaired"),
        ]),
        ({"segmentation": SQUARE}, [50, 60, 200, 250], True, []),
        ({"segmentation": [[5, 5], SQUARE]}, [50, 60, 200, 250], True, []),
        ({"segmentation": [SQUARE[:4]]}, [50, 60, 200, 250], False, [("polygon unsound", "repaired")]),
        ({"segmentation": [[50, 60, 60, 70, 250, 260]]}, [50, 60, 200, 250], False, [("polygon unsound", "repaired")]),
        ({"segmentation": [[50, 60, 90, 60, 90, 80]]}, [50, 60, 200, 250], False, [
            ("polygon and bbox disagree", "repaired"),
        ]),
        ({"segmentation": [[50, -20, 250, -20, 250, 310, 50, 310]], "bbox": [50, 0, 200, 310]},
         [50, 0, 200, 310], True, [("polygon leaves the image", "repaired")]),
        ({"segmentation": [SQUARE, SQUARE]}, [50, 60, 200, 250], False, [
            ("polygon in several pieces: the box stands in", "noted"),
        ]),
        ({"segmentation": {"counts": [10, 20, 30], "size": [500, 400]}}, [50, 60, 200, 250], False, [
            ("run-length mask: the box stands in", "noted"),
        ]),
    ],
)  # fmt: skip
def test_boxes_and_polygons(tmp_path, anno, bbox, mask_valid, problems):
    (image,), given = imported(tmp_path, coco_file(**anno))
    (garment,) = image["annotations"]
    assert (garment["bbox"], garment["mask_valid"], garment["category_id"]) == (bbox, mask_valid, T_SHIRT)
    if mask_valid:
        xs, ys = garment["segmentation"][0][0::2], garment["segmentation"][0][1::2]
        assert [min(xs), min(ys), max(xs), max(ys)] == [50, max(min(ys), 0), 250, 310] and len(xs) == 4
    assert sorted(given) == sorted((reason, action, "garments", 1) for reason, action in problems)


@pytest.mark.parametrize(
    "anno, reasons",
    [
        ({"bbox": None, "segmentation": None}, ["no bbox", "no geometry", "no polygon"]),
        ({"bbox": [500, 10, 5, 5], "segmentation": []}, ["bbox outside the image", "no geometry", "no polygon"]),
        ({"category_id": 7}, ["category not listed"]),
        ({"image_id": 7}, ["image not listed"]),
    ],
)
def test_what_goes_is_counted(tmp_path, anno, reasons):
    (image,), problems = imported(tmp_path, coco_file(**anno))
    assert image["annotations"] == []
    assert sorted(problem[0] for problem in problems) == reasons
    assert [problem[3] for problem in problems if problem[1] == "dropped"] == [1]


@pytest.mark.parametrize("size", [{"width": 0}, {"height": -3}, {"height": "0"}])
def test_an_image_of_no_size_goes_with_its_garments(tmp_path, size):
    coco = coco_file()
    coco["images"][0].update(size)
    images, problems = imported(tmp_path, coco)
    assert images == []
    assert problems == [("image dropped", "dropped", "garments", 1), ("no image size", "dropped", "images", 1)]


def test_numbers_as_text_and_as_floats(tmp_path):
    coco = coco_file(id="1", image_id="1", category_id=1.0)
    coco["images"][0].update(id="1", width=400.0, height="500")
    (image,), problems = imported(tmp_path, coco)
    assert (image["image_id"], image["width"], image["height"], problems) == (1, 400, 500, [])
    assert type(image["width"]) is int and image["annotations"][0]["category_id"] == T_SHIRT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
def test_encodings(tmp_path, encoding):
    coco = coco_file()
    coco["categories"][0]["name"] = "티셔츠"
    (image,), problems = imported(tmp_path, json.dumps(coco, ensure_ascii=False).encode(encoding))
    assert image["annotations"][0]["category_id"] == T_SHIRT and problems == []


@pytest.mark.parametrize(
    "data, message",
    [
        (b'{"images": [1, }', "it is no JSON .*line 1 column"),
        (codecs.BOM_UTF8 + b"[]", "it has no list 'images'"),
        (b"\xff\xd8\xff\xe0 photograph", "it is no text in"),
        (b"", "it is no JSON"),
    ],
)
def test_no_coco_file(tmp_path, data, message):
    with pytest.raises(ValueError, match=rf"c\.json is not a COCO file: {message}"):
        imported(tmp_path, data)


DACON = ["top", "blouse", "t-shirt", "Knitted fabric", "shirt", "bra top", "hood", "blue jeans", "pants", "skirt"]
DACON += ["leggings", "jogger pants", "coat", "jacket", "jumper", "padding jacket", "best", "kadigan", "zip up"]
DACON += ["dress", "jumpsuit"]


def test_names_of_dacon_are_the_21_categories_in_their_order(tmp_path):
    coco = coco_file()
    coco["categories"] = [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(DACON, start=1)]
    coco["annotations"] = [{**coco["annotations"][0], "id": i, "category_id": i} for i in range(1, 22)]
    (image,), problems = imported(tmp_path, coco)
    assert [anno["category_id"] for anno in image["annotations"]] == list(range(21)) and problems == []
    assert [anno["part"] for anno in image["annotations"]].count("outer") == 7


@pytest.mark.parametrize("name", ["T Shirt", "t_shirt", "Tshirt", "티셔츠"])
def test_spellings(tmp_path, name):
    coco = coco_file()
    coco["categories"][0]["name"] = name
    (image,), _ = imported(tmp_path, coco)
    assert image["annotations"][0]["category_id"] == T_SHIRT


def test_a_category_that_nothing_has_is_no_mistake(tmp_path):
    coco = coco_file()
    coco["categories"].append({"id": 9, "name": "person"})
    (image,), problems = imported(tmp_path, coco)
    assert len(image["annotations"]) == 1 and problems == []


def test_paths_of_windows_and_absolute_ones(tmp_path):
    for name in ("images/a.jpg", "odd\\name.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    coco = coco_file()
    names = ["images\\a.jpg", str(tmp_path / "images/a.jpg"), "odd\\name.jpg", "gone\\b.jpg"]
    coco["images"] = [{**coco["images"][0], "id": i, "file_name": name} for i, name in enumerate(names, start=1)]
    (tmp_path / "c.json").write_text(json.dumps(coco))
    counts = import_coco(tmp_path / "c.json", tmp_path / "s/train")
    files = [image["file_name"] for image in KFashionDataset(tmp_path / "s/train")]
    assert files == [str(tmp_path / name) for name in ("images/a.jpg", "images/a.jpg", "odd\\name.jpg", "gone/b.jpg")]
    assert counts["problems"] == [{"reason": "image not found", "action": "noted", "of": "images", "count": 1}]


def test_every_problem_has_its_line(tmp_path):
    imported(tmp_path, coco_file(bbox=[250, 310, -200, -250]))
    lines = [json.loads(line) for line in (tmp_path / "s/train/problems.jsonl").read_text("utf-8").splitlines()]
    assert lines[0] == {
        "split": "train",
        "path": f"{tmp_path / 'c.json'}, annotation 1",
        "part": "top",
        "key": "bbox",
        "reason": "bbox without area",
        "action": "repaired",
        "value": [250, 310, -200, -250],
    }
    assert len(lines) == 2  # and the image that is not there
    imported(tmp_path, coco_file(segmentation=None))  # over it: the old lines go
    assert "without area" not in (tmp_path / "s/train/problems.jsonl").read_text("utf-8")


@pytest.fixture
def crowded(tmp_path):
    """A split of a T-shirt, a crowd of jeans, and an image that holds a crowd alone."""
    coco = coco_file(attributes={"color": "red"})
    jeans = {"id": 2, "image_id": 1, "category_id": 2, "bbox": [10, 10, 300, 400], "iscrowd": 1}
    jeans |= {"segmentation": {"counts": [10, 20, 30], "size": [500, 400]}, "attributes": {"color": "blue"}}
    coco["annotations"] += [jeans, {**jeans, "id": 3, "image_id": 2, "iscrowd": "1"}]
    coco["images"].append({**coco["images"][0], "id": 2, "file_name": "2.jpg"})
    for name in ("1.jpg", "2.jpg"):
        Image.new("RGB", (400, 500)).save(tmp_path / name)
    imported(tmp_path, coco)
    return tmp_path / "s/train"


def test_crowds_stay_crowds(crowded, tmp_path):
    dataset = KFashionDataset(crowded, "category_or_part")
    assert [[anno["iscrowd"] for anno in image["annotations"]] for image in dataset] == [[0, 1], [1]]
    assert dataset[0]["annotations"][1]["bbox"] == [10, 10, 300, 400]
    again = pickle.loads(pickle.dumps(dataset))
    assert list(again) == list(dataset)
    path = export_coco(dataset, tmp_path / "again.json")
    assert [anno["iscrowd"] for anno in json.loads(path.read_bytes())["annotations"]] == [0, 1, 1]
    import_coco(path, tmp_path / "again/train")
    assert list(KFashionDataset(tmp_path / "again/train", "category_or_part")) == list(dataset)


def test_crowds_are_neither_trained_nor_counted(crowded, tmp_path):
    dataset = KFashionDataset(crowded)
    yes, known = label_counts(dataset, dataset.schema)
    color = dataset.schema.slice("color")
    assert yes[:, color].sum() == 1 and yes[T_SHIRT, color].sum() == 1 and known[:, color].sum() == 21
    assert np.array_equal(yes, label_counts(list(dataset), dataset.schema, 21)[0])
    _, target = TorchDataset(dataset, train=False)[0]
    assert target["labels"].tolist() == [T_SHIRT + 1]
    mapper = AttributeDatasetMapper(True, schema=dataset.schema, augmentations=[], image_format="BGR")
    assert mapper(dataset[0])["instances"].gt_classes.tolist() == [T_SHIRT]
    assert len(mapper(dataset[1])["instances"]) == 0
    named = KFashionDataset(crowded, "category_or_part")
    export_yolo(named, tmp_path / "y")
    lines = [(tmp_path / f"y/labels/train/{i}.txt").read_text().split() for i in (1, 2)]
    assert lines[0][0] == str(T_SHIRT) and len(lines[0]) == 5 and lines[1] == []


@pytest.mark.parametrize("box, ap", [([20, 20, 100, 100], 1.0), ([320, 420, 60, 60], 0.5)], ids=["inside", "outside"])
def test_crowds_excuse_detections_as_in_detectron2(tmp_path, box, ap):
    coco = coco_file()
    coco["images"].append({**coco["images"][0], "id": 2})
    coco["annotations"].append({"id": 2, "image_id": 2, "category_id": 1, "bbox": [10, 10, 300, 400], "iscrowd": 1})
    imported(tmp_path, coco)
    write_coco_json(KFashionDataset(tmp_path / "s/train"), tmp_path / "truth.json")
    truth = COCO(str(tmp_path / "truth.json"))
    assert [(anno["category_id"], anno["iscrowd"]) for anno in truth.dataset["annotations"]] == [(3, 0), (3, 1)]
    right = {"image_id": 1, "category_id": 3, "bbox": [50, 60, 200, 250], "score": 0.5}
    evaluation = COCOeval(truth, truth.loadRes([right, {**right, "image_id": 2, "bbox": box, "score": 0.9}]), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(ap)


def test_splits_with_and_without_crowds_go_together(crowded, tmp_path):
    coco = coco_file()
    coco["images"][0]["id"] = coco["annotations"][0]["image_id"] = 9
    (tmp_path / "p.json").write_text(json.dumps(coco))
    import_coco(tmp_path / "p.json", tmp_path / "p/train")
    assert "iscrowd" not in next(KFashionDataset(tmp_path / "p/train").shards()).batch.schema.names
    resplit([KFashionDataset(tmp_path / "p/train"), KFashionDataset(crowded)], tmp_path / "new", {"all": 1})
    images = {image["image_id"]: image["annotations"] for image in KFashionDataset(tmp_path / "new/all")}
    assert {key: [anno["iscrowd"] for anno in annos] for key, annos in images.items()} == {9: [0], 1: [0, 1], 2: [1]}
