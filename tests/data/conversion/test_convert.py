import json
import shutil
from pathlib import Path

import orjson
import pytest

from kfashion_d2.data import KFashionDataset, convert_dataset, parse_annotation
from kfashion_d2.data.conversion import convert, shard
from kfashion_d2.data.conversion.convert import summary_table
from kfashion_d2.data.statistics.problem_counts import count_problems
from kfashion_d2.schema import kfashion_schema
from tests.data.annotations import everything, rect, with_id, write

SCHEMA = kfashion_schema()


@pytest.fixture
def data(tmp_path):
    """The current release's layout, with one of each fault that conversion meets."""
    root = tmp_path / "data"
    labels, images = "Training/라벨링데이터/모던", "Training/원천데이터_1/모던"
    for i in range(1, 8):
        write(root, f"{labels}/{i}.json", with_id(i), image_dir=images)
    write(root, f"{labels}/9.json", with_id(9), image=False)
    write(root, f"{labels}/10.json", '{"broken', image_dir=images)
    same_id = with_id(3, part="하의", labels={"색상": "블랙"})
    write(root, f"{labels}/11.json", same_id, image_dir=images)
    write(root, f"{labels}/12.json", with_id(12, rects={}, polygons={}), image_dir=images)
    write(root, f"{labels}/13.json", with_id(13, **{"이미지 높이": 0}), image_dir=images)
    write(root, "Validation/라벨링데이터/모던/20.json", with_id(20), image_dir="Validation/원천데이터_1/모던")
    return root


def test_the_books_balance(data, tmp_path):
    summary = convert_dataset(data, tmp_path / "out")
    assert summary["splits"]["train"] == {
        "images_found": 11,
        "annotations": 12,
        "images_out": 8,  # 1 to 7 and 12
        "annotations_dropped": 4,  # 9, 10, 11, 13
        "garments": 11,
        "garments_out": 7,
        "garments_dropped": 4,  # of 9, 11, 12, 13; what 10 held nobody knows
    }
    assert summary["splits"]["val"]["images_out"] == 1
    reasons = {(p["reason"], p["of"], p["action"]): p["count"] for p in summary["problems"]}
    assert reasons == {
        ("no image", "annotations", "dropped"): 1,
        ("not JSON", "annotations", "dropped"): 1,
        ("duplicate id, other content", "annotations", "dropped"): 1,
        ("no image size", "annotations", "dropped"): 1,
        ("annotation dropped", "garments", "dropped"): 3,
        ("no geometry", "garments", "dropped"): 1,
        ("no polygon", "garments", "noted"): 1,
        ("no rect", "garments", "noted"): 1,
    }
    lines = [json.loads(line) for line in (tmp_path / "out/problems.jsonl").read_text().splitlines()]
    assert len(lines) == sum(reasons.values())
    (duplicate,) = [line for line in lines if line["reason"].startswith("duplicate id")]
    assert duplicate["path"] == "Training/라벨링데이터/모던/11.json"
    assert json.loads((tmp_path / "out/summary.json").read_text("utf-8")) == summary
    assert "duplicate id, other content" in summary_table(summary)


def test_bytes_do_not_depend_on_the_workers_or_the_run(data, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "SHARD_SIZE", 3)
    outputs = []
    for i, workers in enumerate([1, 2, 3]):
        convert_dataset(data, tmp_path / f"out{i}", workers=workers)
        outputs.append(everything(tmp_path / f"out{i}"))
    assert outputs[0] == outputs[1] == outputs[2]
    assert {"train/shard-00000.arrow", "train/shard-00003.arrow", "val/meta.json"} <= outputs[0].keys()
    convert_dataset(data, tmp_path / "out0", workers=2)
    assert everything(tmp_path / "out0") == outputs[0]


def test_rows_equal_the_parser(data, tmp_path, monkeypatch):
    """Against the slow way: parse each file again."""
    monkeypatch.setattr(convert, "SHARD_SIZE", 3)
    convert_dataset(data, tmp_path / "out")
    dataset = KFashionDataset(tmp_path / "out/train")
    assert dataset.image_ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 12]
    for row in dataset:
        record, _ = parse_annotation(json.loads((data / row["label_file"]).read_text("utf-8")), SCHEMA)
        assert {key: row[key] for key in record} == record
        assert Path(row["file_name"]) == data / "Training/원천데이터_1/모던" / f"{row['image_id']}.jpg"


@pytest.mark.parametrize(
    "label, image_dir, split",
    [
        ("Training/모던/1.json", None, "train"),
        ("Validation/모던/1.json", None, "val"),
        ("1.json", None, "train"),
        ("labels/모던/1.json", "images/모던", "train"),
        ("Training/라벨링데이터/모던/1.json", "Training/원천데이터_3/모던", "train"),
        ("1.Training/라벨 데이터/validation/1.json", None, "val"),
    ],
)
def test_layouts(tmp_path, label, image_dir, split):
    write(tmp_path / "data", label, with_id(1), image_dir=image_dir)
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    assert {name: s["images_out"] for name, s in summary["splits"].items()} == {split: 1}
    assert Path(KFashionDataset(tmp_path / "out" / split)[0]["file_name"]).is_file()


def test_a_named_split_and_the_style_folder_decide(tmp_path):
    data = tmp_path / "data"
    write(data, "label/모던/a.json", with_id(1), image_dir="image/모던")
    write(data, "label/펑크/a.json", with_id(2), image_dir="image/펑크")
    convert_dataset(data, tmp_path / "out", split="mine")
    names = [Path(row["file_name"]).parent.name for row in KFashionDataset(tmp_path / "out/mine")]
    assert names == ["모던", "펑크"]


@pytest.mark.parametrize("workers", [1, 2])
def test_strict_names_the_place_and_leaves_no_split(data, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(convert, "SHARD_SIZE", 2)
    with pytest.raises(ValueError, match=r"라벨링데이터/모던/9\.json: no image"):
        convert_dataset(data, tmp_path / "out", strict=True, workers=workers)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_split_of_an_earlier_conversion_stays_with_its_problems_and_is_named(data, tmp_path, caplog):
    write(data, "Validation/라벨링데이터/모던/21.json", with_id(21), image=False)
    both = convert_dataset(data, tmp_path / "out")
    assert both["earlier_splits"] == []
    before = everything(tmp_path / "out/val")
    lines = (tmp_path / "out/problems.jsonl").read_text().splitlines()
    summary = convert_dataset(data / "Training", tmp_path / "out")
    assert list(summary["splits"]) == ["train"] and summary["earlier_splits"] == ["val"]
    assert "also holds val" in caplog.text and "earlier conversion: val" in summary_table(summary)
    assert everything(tmp_path / "out/val") == before
    again = (tmp_path / "out/problems.jsonl").read_text().splitlines()
    of_val = [line for line in lines if json.loads(line)["split"] == "val"]
    assert len(of_val) == 2 and [line for line in again if json.loads(line)["split"] == "val"] == of_val
    assert len(again) == len(lines)


def test_strict_passes_what_is_merely_noted(tmp_path):
    write(tmp_path / "data", "1.json", with_id(1, rects={}))
    assert convert_dataset(tmp_path / "data", tmp_path / "out", strict=True)["problems"][0]["action"] == "noted"


def test_an_interrupted_run_leaves_the_old_split_whole(data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    convert_dataset(data, out)
    before = everything(out)
    monkeypatch.setattr(convert, "SHARD_SIZE", 3)
    calls = []

    def fail(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write_table(*args)

    write_table = shard.write_table
    monkeypatch.setattr(shard, "write_table", fail)
    with pytest.raises(KeyboardInterrupt):
        convert_dataset(data, out)
    kept = {name: content for name, content in everything(out).items() if not name.startswith(".")}
    assert kept == before


def test_what_is_left_of_another_run_is_removed(data, tmp_path):
    out = tmp_path / "out"
    for name in (".train.partial/shards/shard-00000.arrow", ".train.partial/done/shard-00000.json", ".old.partial/x"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"half")
    convert_dataset(data, out)
    assert sorted(p.name for p in out.iterdir()) == ["problems.jsonl", "summary.json", "train", "val"]
    convert_dataset(data, tmp_path / "undisturbed")
    assert everything(out) == everything(tmp_path / "undisturbed")


def test_options(data, tmp_path):
    kept = convert_dataset(data, tmp_path / "a", labels_only=True)["splits"]["train"]
    assert kept["images_out"] == 9
    checked = convert_dataset(data, tmp_path / "b", check_images=True)
    assert checked["splits"]["train"]["images_out"] == 0
    assert ("image broken", 10) in {(p["reason"], p["count"]) for p in checked["problems"]}  # all are empty files


def test_check_images_wants_the_stated_size(tmp_path):
    from PIL import Image

    for number, size in ((1, (60, 100)), (2, (100, 60))):
        write(tmp_path / "data", f"{number}.json", with_id(number))
        Image.new("RGB", size).save(tmp_path / f"data/{number}.jpg")
    summary = convert_dataset(tmp_path / "data", tmp_path / "out", check_images=True)
    assert KFashionDataset(tmp_path / "out/train").image_ids.tolist() == [1]
    assert "image of another size" in {p["reason"] for p in summary["problems"]}


def test_json_that_only_python_reads(tmp_path):
    obj = json.dumps(with_id(1, rects=rect(float("nan"), 1, 2, 3)), ensure_ascii=False)
    write(tmp_path / "data", "1.json", "\ufeff" + obj)
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    assert [p["reason"] for p in summary["problems"]] == ["rect incomplete"]


def test_no_break_spaces_are_counted(tmp_path):
    for number, value in enumerate(["하운즈\u00a0투스", "하운즈투스", "하운즈 투스"], start=1):
        write(tmp_path / "data", f"{number}.json", with_id(number, labels={"카테고리": "셔츠", "프린트": [value]}))
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    assert [(p["reason"], p["action"], p["count"]) for p in summary["problems"]] == [("no-break space", "noted", 1)]
    (line,) = map(json.loads, (tmp_path / "out/problems.jsonl").read_text("utf-8").splitlines())
    assert (line["key"], line["value"]) == ("프린트", "하운즈\u00a0투스")
    assert [row["annotations"][0]["attributes"]["print"] for row in KFashionDataset(tmp_path / "out/train")] == [
        [11]
    ] * 3


def test_user_mistakes(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        convert_dataset(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no \.json annotation"):
        convert_dataset(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match="workers=0"):
        convert_dataset(tmp_path / "empty", tmp_path / "out", workers=0)
    for split in ("../outside", "a/b", "", ".hidden"):
        with pytest.raises(ValueError, match="name that a folder"):
            convert_dataset(tmp_path / "empty", tmp_path / "out", split=split)
    shutil.rmtree(tmp_path / "empty")


def as_text(value, placeholder="@@"):
    """An annotation's JSON with a label that json.dumps would not write."""
    obj = with_id(1, labels={"카테고리": "셔츠", "핏": placeholder})
    return json.dumps(obj, ensure_ascii=False).replace(f'"{placeholder}"', value)


@pytest.mark.parametrize(
    "value",
    ["1" + "0" * 400, *("[" * n + "1" + "]" * n for n in (250, 300, 1005)), "NaN", '"\\ud800"', '"a", "\\udc80": "b"'],
    ids=["huge", "level 250", "level 300", "level 1005", "NaN", "surrogate", "key"],
)
def test_any_value_goes_into_the_list_of_problems(tmp_path, value):
    """As JSON that other parsers read, among them the report's, which writes no more than 254 levels."""
    write(tmp_path / "data", "1.json", as_text(value))
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    assert summary["splits"]["train"]["images_out"] == 1
    lines = [orjson.loads(line) for line in (tmp_path / "out/problems.jsonl").read_bytes().splitlines()]
    assert lines and all(line["reason"] in ("unknown value", "wrong type", "unknown key") for line in lines)
    splits = {"train": KFashionDataset(tmp_path / "out/train")}
    assert sum(problem["count"] for problem in count_problems(tmp_path / "out/problems.jsonl", splits)) == len(lines)
    with pytest.raises(ValueError, match=r"1\.json: .*value ") as error:
        convert_dataset(tmp_path / "data", tmp_path / "strict", strict=True)
    str(error.value).encode()  # a terminal can show it
