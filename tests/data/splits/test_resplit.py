import csv
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kfashion_d2.data import KFashionDataset, convert_dataset, make_demo_data
from kfashion_d2.data.splits.resplit import assign_groups, check_leaks, image_labels, resplit, take_subset


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """600 annotations without pictures."""
    folder = tmp_path_factory.mktemp("many")
    make_demo_data(folder / "data", num_train=600, num_val=0, seed=0, annotations_only=True)
    convert_dataset(folder / "data", folder / "store", labels_only=True)
    return KFashionDataset(folder / "store/train")


def by_id(dataset):
    return {record["image_id"]: record for record in dataset}


def labels_of(record, schema):
    """The slow and obvious version."""
    found = set()
    if record["style"] >= 0:
        found.add(("style", record["style"]))
    for anno in record["annotations"]:
        if anno["category_id"] >= 0:
            found.add(("category", anno["category_id"]))
        for name, value in anno["attributes"].items():
            values = value if isinstance(value, list) else [value]
            found |= {(name, i) for i in values if i >= 0}
    return found


def label_counts(dataset):
    return Counter(label for record in dataset for label in labels_of(record, dataset.schema))


def test_labels_agree_with_the_slow_version(many):
    rows, labels = image_labels([many])
    bases = {group.name: many.schema.slice(group.name).start for group in many.schema.groups}
    bases["style"] = many.schema.num_labels
    bases["category"] = many.schema.num_labels + len(many.schema.styles)
    expected = [(row, bases[name] + i) for row, record in enumerate(many) for name, i in labels_of(record, many.schema)]
    assert list(zip(rows.tolist(), labels.tolist(), strict=True)) == sorted(expected)


def test_a_new_split_loses_nothing_and_keeps_every_labels_share(many, tmp_path):
    report = resplit([many], tmp_path, {"train": 8, "val": 2}, seed=1)
    new = {name: KFashionDataset(tmp_path / name) for name in ("train", "val")}
    assert {**by_id(new["train"]), **by_id(new["val"])} == by_id(many)
    assert len(new["train"]) + len(new["val"]) == len(many)
    assert abs(len(new["val"]) - 0.2 * len(many)) <= 3
    assert report["splits"]["val"]["images"] == len(new["val"])
    before, after = label_counts(many), label_counts(new["val"])
    strays = np.array([after[label] - 0.2 * count for label, count in before.items()])
    # Dealt out blindly they would stray by 2.4 in the root mean square.
    assert np.sqrt((strays**2).mean()) < 1.3 and abs(strays).max() < 7
    rare = [label for label, count in before.items() if 10 <= count <= 30]
    assert len(rare) > 10 and all(after[label] >= 1 for label in rare)


def test_the_seed_decides(many, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        resplit([many], tmp_path / name, {"train": 0.5, "val": 0.5}, seed=seed)
    files = {name: (tmp_path / name / "val/shard-00000.arrow").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_groups_stay_together(splits, tmp_path):
    leaks = check_leaks(splits, tmp_path / "pairs.csv")
    assert leaks == {
        ("train", "val"): {"same id": 0, "same look": 1, "same content": 1, "nearly the same": 0},
    }
    with open(tmp_path / "pairs.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["kind"], r["split_1"], r["image_id_1"], r["split_2"], r["image_id_2"]) for r in rows] == [
        ("same look", "train", "1", "val", "6"),
        ("same content", "train", "4", "val", "7"),
    ]
    assert rows[0]["file_name_2"].endswith("6.jpg")
    for seed in range(8):
        report = resplit(splits, tmp_path / "new", {"train": 0.5, "val": 0.3, "test": 0.2}, seed=seed)
        assert (report["groups"], report["largest_group"]) == (6, 3)
        new = [KFashionDataset(tmp_path / "new" / name) for name in ("train", "val", "test") if name]
        assert sorted(i for dataset in new for i in dataset.image_ids.tolist()) == list(range(1, 10))
        assert not any(count for counts in check_leaks(new).values() for count in counts.values())
        assert all(Path(record["file_name"]).is_file() for dataset in new for record in dataset)


def test_an_id_that_stands_twice_stays_once(many, tmp_path):
    take_subset(many, tmp_path / "part", fraction=0.1)
    part = KFashionDataset(tmp_path / "part")
    assert check_leaks([many, part])["train", "part"]["same id"] == len(part)
    report = resplit([many, part], tmp_path / "new", {"all": 1})
    assert report["duplicate_ids"] == len(part)
    assert list(KFashionDataset(tmp_path / "new/all")) == list(many)


def test_splits_of_two_places_do_not_mix(many, demo_store, tmp_path):
    with pytest.raises(ValueError, match="--image-root"):
        resplit([many, KFashionDataset(demo_store / "val")], tmp_path, {"all": 1})


def test_dealing_by_hand():
    # Label 7 is on images 1, 3 and 4 only; images 0 and 2 are one group.
    groups = np.array([0, 1, 0, 2, 3])
    rows, labels = np.array([0, 1, 1, 2, 3, 3, 4, 4]), np.array([2, 2, 7, 2, 2, 7, 2, 7])
    for seed in range(8):
        part = assign_groups(groups, rows, labels, np.array([0.5, 0.5]), seed)
        assert part[0] == part[2]
        assert sorted(np.bincount(part)) == [2, 3]
        assert sorted(np.bincount(part[[1, 3, 4]], minlength=2)) == [1, 2]


def test_images_without_labels_are_dealt_out():
    none = np.zeros(0, np.int64)
    part = assign_groups(np.arange(10), none, none, np.array([0.7, 0.3]), seed=0)
    assert np.bincount(part).tolist() == [7, 3]


def test_a_fraction(many, tmp_path):
    counts = take_subset(many, tmp_path / "small", fraction=0.1, seed=3)
    small = KFashionDataset(tmp_path / "small")
    assert len(small) == counts["images"] and abs(len(small) - 0.1 * len(many)) <= 3
    assert by_id(small).items() <= by_id(many).items()
    assert small.image_ids.tolist() == sorted(small.image_ids.tolist())
    meta = json.loads((tmp_path / "small/meta.json").read_text("utf-8"))
    assert meta["garments_out"] == counts["garments"] == small.num_garments.sum()


def test_some_of_every_label(many, tmp_path):
    take_subset(many, tmp_path / "small", per_label=3, seed=3)
    small = KFashionDataset(tmp_path / "small")
    before, after = label_counts(many), label_counts(small)
    assert all(after[label] >= min(3, count) for label, count in before.items())
    assert len(small) < len(many) / 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "either"),
        ({"fraction": 0}, "above 0"),
        ({"per_label": 0}, "at least 1"),
        ({"fraction": 1, "per_label": 1}, "either"),
    ],
)
def test_subsets_refuse(many, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        take_subset(many, tmp_path / "small", **options)


def test_a_split_is_never_written_over_itself(many):
    with pytest.raises(ValueError, match="is what is read: give another folder"):
        take_subset(many, many.split_dir, fraction=0.5)
    assert len(KFashionDataset(many.split_dir)) == len(many)


def test_the_tool(demo_store, tmp_path, run_tool, capsys):
    def tool(*args):
        run_tool("split_data", *args)
        return capsys.readouterr().out

    stores = [demo_store / "train", demo_store / "val"]
    tool("resplit", *stores, "--output", tmp_path / "new", "--shares", "train=0.5", "val=0.25", "test=0.25")
    sizes = [len(KFashionDataset(tmp_path / "new" / name)) for name in ("train", "val", "test")]
    assert sum(sizes) == 32 and sizes == pytest.approx([16, 8, 8], abs=2)
    table = tool("check", tmp_path / "new/train", tmp_path / "new/val", "--pairs", tmp_path / "pairs.csv")
    assert re.search(r"^train +val +0 +0 +0 +0$", table, re.M) and (tmp_path / "pairs.csv").is_file()
    with pytest.raises(SystemExit, match=r"fraction=2.0: give a number above 0"):
        tool("subset", demo_store / "train", "--output", tmp_path / "small", "--fraction", "2")


@pytest.mark.parametrize(
    "shares, message",
    [
        ({}, "positive share"),
        ({"train": 0.5, "val": float("nan")}, "positive share"),
        ({"train": 0.5, "../val": 0.5}, r"cannot be called '\.\./val'"),
        ({"train": 0.5, ".val": 0.5}, "cannot be called"),
        ({"": 1.0}, "cannot be called"),
    ],
)
def test_new_splits_refuse(many, tmp_path, shares, message):
    with pytest.raises(ValueError, match=message):
        resplit([many], tmp_path / "out", shares)
    assert list(tmp_path.iterdir()) == []


def test_a_resplit_over_its_source_is_refused_before_anything_is_written(many):
    before = sorted(many.split_dir.parent.iterdir())
    with pytest.raises(ValueError, match="is what is read: give another folder"):
        resplit([many], many.split_dir.parent, {"new": 0.5, "train": 0.5})
    assert sorted(many.split_dir.parent.iterdir()) == before


def test_leaks_are_between_two(many):
    with pytest.raises(ValueError, match="two or more"):
        check_leaks([many])


@pytest.mark.filterwarnings("error")
def test_splits_of_one_name_are_told_apart(splits, tmp_path):
    train, val = splits
    for name, dataset in (("a", train), ("b", val), ("c", val)):
        take_subset(dataset, tmp_path / name / "train", fraction=1.0)
    again = [KFashionDataset(tmp_path / name / "train") for name in "abc"]
    leaks = check_leaks(again)
    assert [tuple(Path(path).parent.name for path in pair) for pair in leaks] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert leaks[str(again[1].split_dir), str(again[2].split_dir)]["same id"] == len(val)
