import json

import pytest
from pycocotools.coco import COCO

from kfashion_d2.data import KFashionDataset, import_coco
from kfashion_d2.data.formats import export_coco


def test_three_states_by_hand(states, tmp_path):
    coco = json.loads(export_coco(states, tmp_path / "a.json").read_text("utf-8"))
    assert [image["id"] for image in coco["images"]] == [5, 30, 31, 200]
    assert coco["images"][0]["file_name"] == "5.jpg" and coco["images"][0]["style"] == "modern"
    names = {entry["id"]: entry for entry in coco["categories"]}
    top, unknown, trousers = coco["annotations"]
    assert [names[anno["category_id"]]["name"] for anno in coco["annotations"]] == ["t-shirt", "other top", "pants"]
    assert names[unknown["category_id"]]["supercategory"] == "top"
    assert (top["id"], top["image_id"], top["bbox"], top["area"]) == (1, 5, [10.5, 20.5, 40.0, 60.0], 2400.0)
    assert top["attributes"]["color"] == "black" and top["attributes"]["collar"] == "none"
    assert top["attributes"]["material"] == ["jersey"] and top["attributes"]["detail"] == []
    assert unknown["attributes"]["collar"] is None and unknown["attributes"]["detail"] is None
    assert "collar" not in trousers["attributes"] and trousers["attributes"]["color"] is None
    assert unknown["mask_valid"] is False and unknown["area"] == 41 * 61


@pytest.mark.parametrize("which", ["states", "dataset"])
def test_there_and_back_is_exact(which, request, tmp_path):
    dataset = request.getfixturevalue(which)
    first = export_coco(dataset, tmp_path / "a.json")
    counts = import_coco(first, tmp_path / "mine/train")
    back = KFashionDataset(tmp_path / "mine/train", "category_or_part")
    assert list(back) == list(dataset)
    assert counts == {"images": len(dataset), "garments": int(dataset.num_garments.sum()), "problems": []}
    assert export_coco(back, tmp_path / "b.json").read_bytes() == first.read_bytes()


def test_pycocotools_reads_it(dataset, tmp_path):
    coco = COCO(str(export_coco(dataset, tmp_path / "a.json")))
    assert len(coco.imgs) == len(dataset) and len(coco.anns) == dataset.num_garments.sum()
    for image in dataset:
        annos = coco.loadAnns(coco.getAnnIds(image["image_id"]))
        assert [anno["bbox"] for anno in annos] == [anno["bbox"] for anno in image["annotations"]]
        for anno in annos:
            mask = coco.annToMask(anno)
            assert mask.shape == (image["height"], image["width"])
            assert mask.sum() == pytest.approx(anno["area"], rel=0.1, abs=20)


def test_a_foreign_coco_file(tmp_path):
    coco = {
        "images": [{"id": 9, "file_name": "x/a.jpg", "height": 100, "width": 50}],
        "categories": [{"id": 70, "name": "skirt"}, {"id": 71, "name": "dress"}, {"id": 1, "name": "outer"}],
        "annotations": [
            {
                "id": 4,
                "image_id": 9,
                "category_id": 70,
                "bbox": [1, 2, 3, 4],
                "segmentation": {"counts": "", "size": []},
            },
            {"id": 2, "image_id": 9, "category_id": 71, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6]]},
            {"id": 3, "image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0},
        ],
    }
    (tmp_path / "c.json").write_text(json.dumps(coco))
    import_coco(tmp_path / "c.json", tmp_path / "s/train")
    (image,) = KFashionDataset(tmp_path / "s/train")
    assert image["file_name"] == str(tmp_path / "x/a.jpg") and image["style"] == -1
    skirt, dress, outer = image["annotations"]
    assert (skirt["part"], skirt["category_id"], skirt["mask_valid"]) == ("bottom", 9, False)
    assert (dress["part"], dress["category_id"], dress["mask_valid"]) == ("dress", 19, True)
    assert (outer["part"], outer["category_id"], outer["mask_valid"]) == ("outer", -1, False)
    assert dress["segmentation"] == [[1, 2, 4, 2, 4, 6]]
    assert skirt["attributes"]["color"] == -1 and skirt["attributes"]["detail"] == [-1]
    assert "collar" not in skirt["attributes"] and dress["attributes"]["collar"] == -1


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("images"), "not a COCO file: it has no list 'images'"),
        (lambda c: c["categories"][2].update(name="sock"), "image 5, annotation 1: category_id 3 is 'sock', .* rename"),
        (lambda c: c["images"].append(c["images"][0]), "the image id 5 stands twice; give"),
        (lambda c: c["annotations"].append(7), r"annotations\[3\] is 7, not an object"),
        (lambda c: c["annotations"][0].pop("image_id"), "annotation 1: the key 'image_id' is missing; add"),
        (lambda c: c["annotations"][0].pop("category_id"), "annotation 1: the key 'category_id' is missing; add"),
        (lambda c: c["categories"][1].pop("name"), r"categories\[1\]: the key 'name' is missing"),
        (
            lambda c: c["annotations"][0]["attributes"].update(color="ultraviolet"),
            "image 5, annotation 1: attributes, color: no label 'ultraviolet'; choose from",
        ),
        (
            lambda c: c["annotations"][0]["attributes"].update(material="jersey"),
            "annotation 1: attributes, material: 'jersey' is no list",
        ),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), r"annotation 1: bbox \[1, 2, 3\] is not of four"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, "x", 4]), "annotation 1: bbox .* not all numbers"),
        (
            lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5, None]]),
            "annotation 1: .* not all numbers",
        ),
        (lambda c: c["annotations"][0].update(segmentation=[7, [1, 2]]), "annotation 1: .* not all numbers"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2], 7]), "annotation 1: segmentation has 7 among"),
        (lambda c: c["annotations"][0].update(segmentation="x"), "annotation 1: segmentation 'x' is no list"),
        (lambda c: c["annotations"][0].update(part="hat"), "annotation 1: part: no .*'hat'"),
        (lambda c: c["annotations"][0].update(part=["top"]), "annotation 1: part .* is not text"),
        (lambda c: c["annotations"][0].update(attributes="red"), "annotation 1: attributes .red. are no object"),
        (lambda c: c["images"][0].update(height="tall"), "image 5: height 'tall' is not a number"),
        (lambda c: c["images"][0].update(height=100.5), "image 5: height 100.5 is not a number"),
        (lambda c: c["images"][0].update(width=2**40), "image 5: width 1099511627776 is not a number"),
        (lambda c: c["images"][0].pop("width"), "image 5: the key 'width' is missing; add"),
        (lambda c: c["images"][0].update(file_name=None), "image 5: file_name None is not text"),
        (lambda c: c["images"][0].update(style=["modern"]), "image 5: style .* is not text"),
        (lambda c: c["images"][0].update(id="a"), r"images\[0\]: id 'a' is not a number"),
    ],
    ids=lambda value: value.replace("\\", "")[:24] if isinstance(value, str) else "",
)
def test_what_cannot_be_imported_is_named(states, tmp_path, change, message):
    path = export_coco(states, tmp_path / "a.json")
    coco = json.loads(path.read_text("utf-8"))
    change(coco)
    path.write_text(json.dumps(coco), "utf-8")
    with pytest.raises(ValueError, match=message) as error:
        import_coco(path, tmp_path / "mine/train")
    assert str(path) in str(error.value)
    assert not (tmp_path / "mine/train").exists() and not list(tmp_path.glob("mine/.*"))


def test_another_class_mode_is_refused(demo_store, tmp_path):
    with pytest.raises(ValueError, match="category_or_part"):
        export_coco(KFashionDataset(demo_store / "val"), tmp_path / "a.json")


def test_the_tool_goes_there_and_back(demo_store, tmp_path, run_tool, capsys):
    def tool(*args):
        run_tool("export_data", *args)
        return capsys.readouterr().out

    tool(demo_store / "val", "--format", "coco", "--output", tmp_path / "a.json")
    assert tool(tmp_path / "a.json", "--from-coco", "--output", tmp_path / "mine/val").startswith("8 images, ")
    assert list(KFashionDataset(tmp_path / "mine/val")) == list(KFashionDataset(demo_store / "val"))
    with pytest.raises(SystemExit, match="holds no converted split"):
        tool(tmp_path / "nothing", "--format", "yolo", "--output", tmp_path / "y")


def test_info_may_be_anything(states, tmp_path):
    path = export_coco(states, tmp_path / "a.json")
    coco = json.loads(path.read_text("utf-8"))
    coco["info"] = "made by hand"
    path.write_text(json.dumps(coco), "utf-8")
    import_coco(path, tmp_path / "mine/train", image_root=states.image_root)
    assert list(KFashionDataset(tmp_path / "mine/train", "category_or_part")) == list(states)
