import pickle
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from kfashion_d2.data import KFashionDataset, convert_dataset
from kfashion_d2.schema import kfashion_schema
from tests.data.annotations import annotation, with_id, write


@pytest.fixture
def split(tmp_path):
    data = tmp_path / "data"
    write(data, "5.json", with_id(5))
    write(data, "30.json", with_id(30, part="하의", labels={"색상": "레드"}))
    write(data, "200.json", annotation(rects={}, polygons={}, labels={}, **{"이미지 식별자": 200}))
    convert_dataset(data, tmp_path / "out")
    return tmp_path / "out/train"


def test_is_a_sequence(split):
    dataset = KFashionDataset(split)
    assert len(dataset) == 3
    assert [row["image_id"] for row in dataset] == [5, 30, 200]
    assert dataset[-1]["image_id"] == 200
    for index in (3, -4):
        with pytest.raises(IndexError, match="of 3"):
            dataset[index]
    assert dataset.num_garments.tolist() == [1, 1, 0]
    assert [dataset.index_of(i) for i in (200, 5, 30)] == [2, 0, 1]
    for absent in (4, 31, 999):
        with pytest.raises(KeyError):
            dataset.index_of(absent)


def test_dicts_are_plain_and_fresh(split):
    dataset = KFashionDataset(split)
    first = dataset[0]
    first["annotations"][0]["bbox"][0] = -1
    again = dataset[0]["annotations"][0]
    assert again["bbox"] == [10.5, 20.5, 40.0, 60.0]
    assert type(again["category_id"]) is int and type(again["bbox"][0]) is float and type(again["mask_valid"]) is bool
    assert again["attributes"]["material"] == [18]


@pytest.mark.parametrize(
    "classes, ids, categories",
    [("category", [2, -1], [None, None]), ("part", [0, 1], [2, -1]), ("category_or_part", [2, 22], [None, None])],
)
def test_class_modes(split, classes, ids, categories):
    dataset = KFashionDataset(split, classes)
    annos = [dataset[i]["annotations"][0] for i in range(2)]
    assert [anno["category_id"] for anno in annos] == ids
    assert [anno["attributes"].get("category") for anno in annos] == categories
    for anno in annos:
        dataset.schema.encode(anno["attributes"], anno["part"])


def test_pickles_small_and_reads_again(split):
    dataset = KFashionDataset(split)
    rows = list(dataset)
    assert dataset.image_ids is not None
    data = pickle.dumps(dataset)
    assert list(pickle.loads(data)) == rows
    assert len(data) < 60_000  # the vocabulary, and no rows
    assert b"2020-01-01" not in data


def test_images_may_move(split, tmp_path):
    moved = KFashionDataset(split, image_root=tmp_path / "elsewhere")
    assert moved[0]["file_name"] == str(tmp_path / "elsewhere/5.jpg")
    # The whole folder, images and store: the root is kept relative to the split.
    shutil.copytree(tmp_path / "data", tmp_path / "copy/data")
    shutil.copytree(tmp_path / "out", tmp_path / "copy/out")
    assert KFashionDataset(tmp_path / "copy/out/train")[0]["file_name"] == str(tmp_path / "copy/data/5.jpg")


def test_another_schema_is_refused_with_both_hashes(split):
    own, other = kfashion_schema(), kfashion_schema().subset(["color"])
    with pytest.raises(ValueError, match=f"{own.hash}.*{other.hash}.*convert the data again"):
        KFashionDataset(split, schema=other)


def test_a_missing_split_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"convert_kfashion\.py"):
        KFashionDataset(tmp_path)


def test_it_is_a_sequence(demo_store):
    dataset = KFashionDataset(demo_store / "train")
    assert isinstance(dataset, Sequence)
    everything = list(dataset)
    assert dataset[2:9:3] == everything[2:9:3] and dataset[-2:] == everything[-2:] and dataset[30:] == []
    assert dataset[:] == everything and list(reversed(dataset)) == everything[::-1]
    assert random.Random(1).sample(dataset, 3) == random.Random(1).sample(everything, 3)
    assert random.Random(2).choice(dataset) in everything
    assert dataset.index(everything[5]) == 5 and dataset.count(everything[5]) == 1


@pytest.mark.parametrize("link", ["kfashion", "kfashion/train"])
def test_a_store_behind_a_link_finds_its_images(demo_store, tmp_path, link):
    """As `ln -s` into datasets/, which is Detectron2's habit."""
    path = tmp_path / "a/b/datasets" / link
    path.parent.mkdir(parents=True)
    path.symlink_to(demo_store / "train" if link.endswith("train") else demo_store)
    linked = KFashionDataset(tmp_path / "a/b/datasets/kfashion/train")
    assert list(linked) == list(KFashionDataset(demo_store / "train"))
    assert all(Path(image["file_name"]).is_file() for image in linked)


def test_a_store_converted_to_a_link_finds_its_images(split, tmp_path):
    (tmp_path / "disk/deep/er").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "disk/deep/er")
    convert_dataset(tmp_path / "data", tmp_path / "linked/out")
    for folder in ("linked/out", "disk/deep/er/out"):
        assert list(KFashionDataset(tmp_path / folder / "train")) == list(KFashionDataset(split))
