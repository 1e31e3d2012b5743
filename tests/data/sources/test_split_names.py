import json
import logging
import shutil
import zipfile

import pytest

from kfashion_d2.data import KFashionDataset, convert_dataset
from kfashion_d2.data.conversion.convert import summary_table
from kfashion_d2.data.sources.split_names import looks_like_split, split_named
from tests.data.annotations import with_id, write

NAMES = {
    "train": """train Training TRAIN 1.Training train_images my_train_set K-Fashion_Train train2017 TrainImages trainset
        training.zip [라벨]Training Training_라벨링데이터.zip 학습데이터 훈련 01.학습용 라벨링데이터_학습 트레이닝""",
    "val": """val valid Validation 2.Validation 02_val 3-Valid valid_images val2017 Validation_라벨링데이터.zip
        VALIDATION-images.ZIP 검증 검증데이터 원천_검증""",
    "test": "test Test 3.Test test_images testset testing 시험 평가용 테스트데이터 K-Fashion_test.zip",
}
INNOCENT = "모던 latest contest value valentine trainer images 원천데이터_1.zip 인공지능학습용데이터 1 TL.zip"
DOUBTFUL = "train_val trainval train,val,test dev Vaildation 2.Vailidation traning holdout eval 학습_검증"


@pytest.mark.parametrize("split", NAMES)
def test_names_that_say_a_split(split):
    names = NAMES[split].split()
    assert {name: split_named(name) for name in names} == dict.fromkeys(names, split)
    assert not any(map(looks_like_split, names))


def test_names_that_say_none():
    innocent, doubtful = [*INNOCENT.split(), "AI 학습용 데이터"], DOUBTFUL.split()
    assert [name for name in [*innocent, *doubtful] if split_named(name)] == []
    assert [name for name in [*innocent, *doubtful] if looks_like_split(name)] == doubtful


def splits(summary):
    return {name: split["images_out"] for name, split in summary["splits"].items()}


def rules(summary):
    return [(rule["split"], rule["names"], rule["annotations"]) for rule in summary["split_rules"]]


@pytest.mark.parametrize(
    "layout",
    [
        ("train/labels", "train/images", "val/labels", "val/images", "test/labels", "test/images"),
        ("labels/train", "images/train", "labels/val", "images/val", "labels/test", "images/test"),
        ("train_labels", "train_images", "valid_labels", "valid_images", "test_labels", "test_images"),
        ("1.Train/라벨", "1.Train/원천", "2.Valid/라벨", "2.Valid/원천", "3.Test/라벨", "3.Test/원천"),
        ("라벨/학습", "원천/학습", "라벨/검증", "원천/검증", "라벨/시험", "원천/시험"),
    ],
)
def test_layouts_of_three_splits(tmp_path, layout):
    for i, count in enumerate((3, 2, 1)):
        for number in range(count):
            path = f"{layout[2 * i]}/{10 * i + number}.json"
            write(tmp_path / "data", path, with_id(10 * i + number), image_dir=layout[2 * i + 1])
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    assert splits(summary) == {"train": 3, "val": 2, "test": 1}
    assert [(split, count) for split, _, count in rules(summary)] == [("test", 1), ("train", 3), ("val", 2)]
    assert {rule["rule"] for rule in summary["split_rules"]} == {"the name of a folder or archive"}
    assert [row["image_id"] for row in KFashionDataset(tmp_path / "out/test")] == [20]
    assert summary["problems"] == []


def test_names_of_archives(tmp_path):
    for number, name in enumerate(("Training_라벨링데이터", "Validation_라벨링데이터", "테스트"), start=1):
        write(tmp_path / "data", f"{name}/모던/{number}.json", with_id(number), image_dir=f"{name}/모던")
        shutil.make_archive(str(tmp_path / "data" / name), "zip", tmp_path / "data" / name)
        shutil.rmtree(tmp_path / "data" / name)
    assert zipfile.is_zipfile(tmp_path / "data/테스트.zip")
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    assert rules(summary) == [
        ("test", ["테스트.zip"], 1),
        ("train", ["Training_라벨링데이터.zip"], 1),
        ("val", ["Validation_라벨링데이터.zip"], 1),
    ]
    assert splits(summary) == {"test": 1, "train": 1, "val": 1}


def test_the_images_folder_says_it_where_the_labels_folder_does_not(tmp_path):
    data = tmp_path / "data"
    for number, folder in enumerate(("train_images", "valid_images", "test_images", "images"), start=1):
        write(data, f"labels/{number}.json", with_id(number), image_dir=folder)
    write(data, "labels/5.json", with_id(5), image_dir="train_images")
    (data / "test_images/5.jpg").write_bytes(b"")  # in two splits, which decides nothing
    write(data, "labels/6.json", with_id(6), image=False)
    summary = convert_dataset(data, tmp_path / "out")
    assert splits(summary) == {"test": 1, "train": 3, "val": 1}
    assert [tuple(rule.values()) for rule in summary["split_rules"]] == [
        ("test", "the name of the image's folder", ["test_images"], 1),
        ("train", "nothing: no name says it", [], 3),
        ("train", "the name of the image's folder", ["train_images"], 1),
        ("val", "the name of the image's folder", ["valid_images"], 1),
    ]
    # A split that is given decides.
    assert list(convert_dataset(data, tmp_path / "given", split="all")["splits"]) == ["all"]


def test_the_closing_table_says_which_rule_decided(tmp_path):
    data = tmp_path / "val_2020"
    write(data, "Training/validation/1.json", with_id(1))
    write(data, "Training/2.json", with_id(2))
    write(data, "모던/3.json", with_id(3))
    summary = convert_dataset(data, tmp_path / "out")
    assert [tuple(rule.values()) for rule in summary["split_rules"]] == [
        ("train", "the name of a folder or archive", ["Training"], 1),
        ("val", "the name of the data's folder", ["val_2020"], 1),
        ("val", "the nearest of names that contradict each other", ["validation"], 1),
    ]
    table = summary_table(summary)
    for rule in summary["split_rules"]:
        assert rule["rule"] in table and rule["names"][0] in table
    given = convert_dataset(data / "모던", tmp_path / "given", split="mine")
    assert "--split, where no name says it" in summary_table(given)


def test_a_folder_that_looks_like_a_split_is_a_warning(tmp_path, caplog):
    write(tmp_path / "data", "vaildation/모던/1.json", with_id(1))
    write(tmp_path / "data", "trainval/2.json", with_id(2))
    write(tmp_path / "data", "모던/3.json", with_id(3))
    with caplog.at_level(logging.WARNING):
        summary = convert_dataset(tmp_path / "data", tmp_path / "out", strict=True)
    assert splits(summary) == {"train": 3}
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        f"{name} looks like the name of a split, but says none: what it holds goes to train"
        for name in ("trainval", "vaildation")
    ]
    lines = map(json.loads, (tmp_path / "out/problems.jsonl").read_text("utf-8").splitlines())
    assert {(line["path"], line["action"], line["value"]) for line in lines} == {
        ("trainval", "noted", "train"),
        ("vaildation", "noted", "train"),
    }


def test_an_empty_split_says_so(tmp_path):
    write(tmp_path / "data", "train/1.json", with_id(1))
    write(tmp_path / "data", "val/2.json", with_id(2), image=False)
    table = summary_table(convert_dataset(tmp_path / "data", tmp_path / "out"))
    assert "The split val is empty: none of its 1 annotations was kept." in table and "split train is" not in table
