import json
import math
import shutil

import numpy as np
import pytest

from kfashion_d2.data import KFashionDataset, analyze_splits, convert_dataset, open_splits, pick_garments
from kfashion_d2.data.statistics.cooccurrence import Cooccurrence
from kfashion_d2.schema import kfashion_schema
from kfashion_d2.visualization import write_data_report
from tests.data.annotations import polygon, rect, with_id, write
from tests.data.small_store import HOSTILE, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("analysis"))


@pytest.fixture(scope="module")
def summary(store):
    return analyze_splits(open_splits(store), store / "problems.jsonl")


def test_images_and_parts(summary):
    train, val, total = summary["splits"]["train"], summary["splits"]["val"], summary["total"]
    assert [(s["images"], s["garments"], s["images_without_garment"]) for s in (train, val, total)] == [
        (4, 3, 1),
        (2, 2, 0),
        (6, 5, 1),
    ]
    assert train["part_combinations"] == {"top": 2, "nothing": 1, "bottom": 1}
    assert total["parts"]["top"] == {"garments": 4, "images": 4}
    assert total["garments_per_image"] == {"0": 1, "1": 5}
    assert total["image_sizes"] == [{"width": 60, "height": 100, "count": 5}, {"width": 60, "height": 200, "count": 1}]
    assert (total["styles"]["modern"], total["styles"]["unknown"], total["sub_styles"]["classic"]) == (5, 1, 5)
    assert total["style_pairs"] == [{"style": "modern", "sub_style": "classic", "count": 5}]


def test_labels_and_states(summary):
    groups = summary["total"]["groups"]
    assert groups["category"]["labels"]["t-shirt"] == {"top": 3}
    # The value that is no category is no expert's: the neckline of that top is unknown.
    assert groups["category"]["states"]["top"] == {"labelled": 3, "none": 0, "unknown": 1, "not_applicable": 0}
    assert groups["neckline"]["states"]["top"] == {"labelled": 1, "none": 2, "unknown": 1, "not_applicable": 0}
    assert groups["neckline"]["states"]["bottom"] == {"labelled": 0, "none": 0, "unknown": 0, "not_applicable": 1}
    assert groups["detail"]["states"]["bottom"] == {"labelled": 0, "none": 0, "unknown": 1, "not_applicable": 0}
    assert groups["detail"]["labels"]["button"] == groups["detail"]["labels"]["zipper"] == {"top": 1}
    assert groups["color"]["labels"]["red"] == {"bottom": 1}
    assert "none" not in groups["neckline"]["labels"]
    assert groups["sub_color"]["states"]["top"] == {"labelled": 1, "none": 3, "unknown": 0, "not_applicable": 0}


def test_boxes_and_polygons(summary):
    total = summary["total"]
    # Four tops of 40 x 60 (the one without polygon has its rect: 41 x 61), a bottom of 40 x 80.
    assert total["boxes"]["by_size"] == {"small": 0, "medium": 5, "large": 0}
    assert total["boxes"]["width"]["percentiles"]["50"] == 40
    assert total["boxes"]["height"]["counts"]["bottom"][80 // 20] == 1
    assert sum(total["boxes"]["aspect_ratio"]["counts"]["top"]) == 4
    assert total["polygons"]["sound"] == 4
    assert sum(total["polygons"]["vertices"]["counts"]["top"]) == 3
    fill = total["polygons"]["fill"]
    assert fill["counts"]["bottom"][fill["edges"].index(0.5)] == 1
    assert fill["counts"]["top"][-1] == 3  # a square fills its box


def test_rects(summary):
    """40 x 60 in 41 x 61 of the same corner, moved by half a pixel: IoU 2400 / 2501; one rect has no area."""
    rects = summary["total"]["rects"]
    assert (rects["compared"], rects["given"]) == (2, 3)
    assert sum(rects["rect_iou"]["counts"]["top"]) == rects["rect_iou"]["counts"]["top"][95] == 2
    assert math.isclose(rects["rect_iou"]["percentiles"]["50"], 2400 / 2501, rel_tol=1e-6)
    assert rects["below"] == {"0.5": 0, "0.8": 0, "0.9": 0, "0.95": 0}
    assert rects["beyond"] == {"0": 0, "0.5": 0, "1": 0, "5": 0, "20": 0}


def test_rects_that_leave_the_image_or_disagree(tmp_path):
    data = tmp_path / "data"
    edge = polygon((0, 10), (30, 10), (30, 100), (0, 100))  # of an image of 60 x 100
    write(data, "1.json", with_id(1, polygons=edge, rects=rect(-0.5, 9.5, 31, 91)))  # 0.5 beyond on two sides
    write(data, "2.json", with_id(2, polygons=edge, rects=rect(-8, 9.5, 38, 91)))  # 8 beyond, IoU 2700 / 2715
    write(data, "3.json", with_id(3, polygons=edge, rects=rect(-30, 10, 45, 90)))  # the half: IoU 0.5
    write(data, "4.json", with_id(4, polygons={}, rects=rect(10, 20, 100, 10)))  # 50 beyond, nothing to compare
    write(data, "5.json", with_id(5, polygons=edge, rects={"X좌표": 1, "Y좌표": 2, "가로": 3}))
    convert_dataset(data, tmp_path / "store")
    summary = analyze_splits(open_splits(tmp_path / "store"), tmp_path / "store/problems.jsonl")
    rects = summary["total"]["rects"]
    assert (rects["compared"], rects["given"]) == (3, 4)
    assert rects["below"] == {"0.5": 0, "0.8": 1, "0.9": 1, "0.95": 1}
    assert rects["beyond"] == {"0": 4, "0.5": 3, "1": 3, "5": 3, "20": 2}
    answers = {a["question"]: (a["count"], a["share"], a["of"]) for a in summary["answers"]}
    assert answers["rect leaves the image by more than 5 pixels"] == (3, 3 / 4, "garments with a rect")
    assert answers["rect and polygon agree less than IoU 0.8"] == (1, 1 / 3, "garments with both")
    assert answers["rect leaves the image, and is the garment's box"] == (2, 2 / 5, "garments read")
    assert answers["rect incomplete (a number is missing)"] == (1, 1 / 5, "garments read")


def test_faults(summary):
    answers = {a["question"].split(" (")[0]: (a["count"], a["share"]) for a in summary["answers"]}
    assert answers["rect without area"] == (1, 1 / 5)
    assert answers["polygon ends in stray"] == (1, 1 / 5)
    assert answers["annotations with a no-break space"] == (1, 1 / 6)
    assert answers["garments whose category is unknown"] == (2, 2 / 5)
    assert answers["garments with a sound polygon"] == (4, 4 / 5)
    # One stray vertex beside those of three squares and a triangle.
    assert answers["stray"] == (1, 1 / 16)
    (spaces,) = [a for a in summary["answers"] if "no-break" in a["question"]]
    assert spaces["where"] == "넥라인: 1"
    problems = {p["reason"]: p for p in summary["problems"]}
    assert problems["no polygon"]["examples"][0]["path"].endswith("1.json")
    assert problems["unknown value"]["values"] == [[HOSTILE, 1]]
    assert problems["unknown value"]["splits"] == {"val": 1}
    assert problems["id also in split train, other content"]["count"] == 1


def test_duplicates(summary):
    assert summary["duplicates"]["within"]["train"] == {
        "names_shared": 1,  # a.jpg
        "images_sharing": 3,
        "looks": 1,
        "images_of_looks": 1,
    }
    assert summary["duplicates"]["across"] == [{"splits": ["train", "val"], "ids": 1, "names": 1, "looks": 1}]


def test_sums_close(demo_store):
    """On the drawn set, faults included; and a JSON file holds it."""
    splits = open_splits(demo_store)
    summary = analyze_splits(splits, demo_store / "problems.jsonl")
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    converted = {(p["reason"], p["action"], p["of"]): p["count"] for p in _converted(demo_store)["problems"]}
    assert {(p["reason"], p["action"], p["of"]): p["count"] for p in summary["problems"]} == converted
    for counted in (summary["total"], *summary["splits"].values()):
        assert sum(counted["part_combinations"].values()) == counted["images"] == sum(counted["styles"].values())
        assert sum(counted["sub_styles"].values()) == counted["images"]
        assert sum(int(n) * images for n, images in counted["garments_per_image"].items()) == counted["garments"]
        assert sum(counted["boxes"]["by_size"].values()) == counted["garments"] > 0
        for group in counted["groups"].values():
            for part, states in group["states"].items():
                assert sum(states.values()) == counted["parts"][part]["garments"]
    for split, dataset in splits.items():
        assert summary["splits"][split]["garments"] == dataset.num_garments.sum()


def _converted(folder):
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_labels_equal_a_loop_over_the_dicts(demo_store):
    dataset = KFashionDataset(demo_store / "train")
    summary = analyze_splits({"train": dataset})
    assert summary["problems"] is None
    expected: dict = {}
    for i in range(len(dataset)):
        for anno in dataset[i]["annotations"]:
            for group in dataset.schema.groups:
                value = anno["attributes"].get(group.name, -1)
                for label in [value] if group.is_single else value if value != -1 else []:
                    if label >= 0 and label != group.none_index:
                        key = (group.name, group.labels[label].name, anno["part"])
                        expected[key] = expected.get(key, 0) + 1
    groups = summary["total"]["groups"]
    found = {
        (group, label, part): count
        for group in dataset.schema.group_names
        for label, parts in groups[group]["labels"].items()
        for part, count in parts.items()
    }
    assert found == expected


def test_pairs_worked_out_by_hand():
    # Two groups of two labels (0 and 1; 2 and 3), five rows; of the last the second group is unknown.
    pairs = Cooccurrence(np.array([0, 0, 1, 1]))
    labels = np.array([[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0]], dtype=bool)
    known = np.array([[1, 1], [1, 1], [1, 1], [1, 1], [1, 0]], dtype=bool)
    for rows in (slice(0, 2), slice(2, 5)):
        pairs.add(labels[rows], known[rows])
    first, second = pairs.strongest(num=5, least=1)
    # 1 and 3: together once in four rows; 1 twice, 3 once: lift 1/4 / (2/4 * 1/4) = 2, NPMI ln 2 / ln 4.
    assert first[:5] == (1, 3, 1, 0.25, 2.0) and math.isclose(first.npmi, 0.5, abs_tol=1e-8)
    # 0 and 2: twice in four; 0 twice where the second group is known, 2 thrice: lift 2/4 / (2/4 * 3/4) = 4/3.
    assert second[:4] == (0, 2, 2, 0.5) and math.isclose(second.lift, 4 / 3)
    assert math.isclose(second.npmi, math.log(4 / 3) / math.log(2), abs_tol=1e-8)
    assert [pair[:2] for pair in pairs.strongest(num=5, least=2)] == [(0, 2)]


def test_garments_are_picked_by_seed_and_have_the_label(demo_store):
    splits = open_splits(demo_store)
    datasets, schema = list(splits.values()), splits["train"].schema
    picked = pick_garments(datasets, 2, seed=5)
    assert picked == pick_garments(datasets, 2, seed=5) != pick_garments(datasets, 2, seed=6)
    assert {dataset for garments in picked.values() for dataset, _, _ in garments} == {0, 1}
    assert ("neckline", "none") not in picked
    for (group, label), garments in picked.items():
        assert 1 <= len(garments) <= 2
        for dataset, image, garment in garments:
            record = datasets[dataset][image]
            anno = record["annotations"][garment]
            if group == "style":
                assert schema.styles.labels[record["style"]] == label
            elif group == "category":
                assert schema.categories.labels[anno["category_id"]] == label
            else:
                value = anno["attributes"][group]
                ids = [value] if isinstance(value, int) else value
                assert label in [schema.group(group).labels[i] for i in ids]


def test_one_split_alone_and_none(store, tmp_path):
    assert list(open_splits(store / "val")) == ["val"]
    with pytest.raises(FileNotFoundError, match=r"convert_kfashion\.py"):
        open_splits(tmp_path)
    with pytest.raises(ValueError, match="no split"):
        analyze_splits({})
    (tmp_path / "problems.jsonl").write_text('{"split": "val"}\n')
    with pytest.raises(ValueError, match=r"problems\.jsonl, line 1 "):
        analyze_splits(open_splits(store), tmp_path / "problems.jsonl")


def test_problems_of_a_split_that_could_not_be_read_are_told(tmp_path):
    """Its archive is cut off, so it has no folder; but a split that lies beside has a report of its own."""
    for name in ("Training", "Validation"):
        write(tmp_path / "data", f"{name}/1.json", with_id(1, polygons={}))
    (tmp_path / "data/test").mkdir()
    (tmp_path / "data/test/validation.zip").write_bytes(b"PK")
    shutil.rmtree(tmp_path / "data/Validation")
    convert_dataset(tmp_path / "data", tmp_path / "out")
    summary = analyze_splits(open_splits(tmp_path / "out"), tmp_path / "out/problems.jsonl")
    assert [p["splits"] for p in summary["problems"] if p["reason"].startswith("archive unreadable")] == [{"val": 1}]
    write_data_report(tmp_path / "report.html", summary, kfashion_schema())
    assert "archive unreadable" in (tmp_path / "report.html").read_text("utf-8")
    write(tmp_path / "data", "Validation/2.json", with_id(2, polygons={}))
    convert_dataset(tmp_path / "data", tmp_path / "out")
    summary = analyze_splits(open_splits(tmp_path / "out/train"), tmp_path / "out/problems.jsonl")
    assert {name for p in summary["problems"] for name in p["splits"]} == {"train"}
