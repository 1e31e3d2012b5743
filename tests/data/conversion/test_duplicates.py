import json
import math
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfashion_d2.data import KFashionDataset, convert_dataset
from kfashion_d2.data.conversion import convert, duplicates
from kfashion_d2.data.conversion.duplicates import equal_rows
from tests.data.annotations import with_id, write

NUMBERS = st.sampled_from([0.0, 1.5, math.nan])
LISTS = st.lists(NUMBERS, max_size=3)
KINDS = [
    (pa.float64(), NUMBERS),
    (pa.int8(), st.integers(-2, 1)),
    (pa.string(), st.sampled_from(["", "가", "가나"])),
    (pa.list_(pa.float32()), LISTS),
    (pa.list_(pa.list_(pa.float64())), st.lists(LISTS, max_size=2)),
]


def same(a, b):
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("kind, values", KINDS, ids=[str(kind) for kind, _ in KINDS])
@given(data=st.data())
def test_rows_are_equal_as_their_values_are(kind, values, data):
    pairs = data.draw(st.lists(st.tuples(values, values), max_size=8))
    a, b = (pa.array([pair[side] for pair in pairs], kind) for side in (0, 1))
    assert equal_rows(a, b).tolist() == [same(*pair) for pair in pairs]
    assert equal_rows(a[1:], b[1:]).tolist() == [same(*pair) for pair in pairs[1:]]  # views into longer columns


@pytest.mark.parametrize("seed", range(4))
def test_what_stays_and_what_is_said_equal_a_slow_way(tmp_path, monkeypatch, seed):
    """Ids, dates and colours by chance, in two splits of several shards each."""
    monkeypatch.setattr(convert, "SHARD_SIZE", 4)
    monkeypatch.setattr(duplicates, "OPEN_SHARDS", 1)
    monkeypatch.setattr(duplicates, "BLOCK", 3)
    rng = random.Random(seed)
    folders = {"train": "Training", "val": "Validation"}
    kept, reasons = {}, []
    for split, folder in folders.items():
        by_id = {}
        for number in sorted(rng.choices(range(1, 8), k=18)):
            group = by_id.setdefault(number, [])
            date, color = rng.choice(["2019-12-31 23:00:00", "2020-01-02 10:00:00"]), rng.choice(["블랙", "레드"])
            obj = with_id(number, labels={"색상": color})
            obj["데이터셋 정보"]["파일 생성일자"] = date
            path = f"{folder}/{chr(ord('가') + len(group))}/{number}.json"
            write(tmp_path / "data", path, obj)
            group.append((date, color, path))
        for number, group in by_id.items():
            kept[split, number] = winner = max(group, key=lambda item: item[0])  # the first of the latest
            for item in group:
                if item is not winner:
                    same_content = item[:2] == winner[:2]
                    reasons.append((item[2], "duplicate id" if same_content else "duplicate id, other content"))
    for (split, number), winner in kept.items():
        if split == "val" and ("train", number) in kept:
            other = "" if winner[:2] == kept["train", number][:2] else ", other content"
            reasons.append((winner[2], f"id also in split train{other}"))

    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    for split in folders:
        dataset = KFashionDataset(tmp_path / "out" / split)
        found = {row["image_id"]: row["label_file"] for row in dataset}
        assert len(found) == len(dataset)
        assert found == {number: item[2] for (name, number), item in kept.items() if name == split}
    lines = [json.loads(line) for line in (tmp_path / "out/problems.jsonl").read_text().splitlines()]
    told = [
        (line["path"], line["reason"]) for line in lines if line["key"] == "이미지 식별자" or "also" in line["reason"]
    ]
    assert sorted(told) == sorted(reasons)
    dropped = sum("duplicate" in reason for _, reason in reasons)
    assert dropped == sum(split["annotations_dropped"] for split in summary["splits"].values()) == 36 - len(kept)
    assert {line["action"] for line in lines if "duplicate" in line["reason"]} == {"dropped"}
    # With each goes its one garment, at its own position.
    assert sum(line["reason"] == "annotation dropped" for line in lines) == dropped


def test_strict_names_the_first_that_would_be_dropped(tmp_path):
    """In the order of the files, whatever the ids in them."""
    for folder in "가나":
        for file, number in ((1, 9), (2, 5)):
            write(tmp_path / "data", f"{folder}/{file}.json", with_id(number))
    with pytest.raises(ValueError, match=r"^나/1\.json: duplicate id \(이미지 식별자\), value 9$"):
        convert_dataset(tmp_path / "data", tmp_path / "out", strict=True)


def test_shards_with_nothing_in_them(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "SHARD_SIZE", 2)
    for file in (1, 2):
        write(tmp_path / "data", f"{file}.json", "{}")
    for file in (3, 4, 5):
        write(tmp_path / "data", f"{file}.json", with_id(7))
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    assert [row["label_file"] for row in KFashionDataset(tmp_path / "out/train")] == ["3.json"]
    assert {p["reason"]: p["count"] for p in summary["problems"]}["duplicate id"] == 2


def test_no_two_of_an_id(tmp_path):
    write(tmp_path / "data", "Training/1.json", with_id(1))
    write(tmp_path / "data", "Validation/2.json", "{}")  # a split with nothing in it
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    assert [p["reason"] for p in summary["problems"] if "id" in p["reason"].split()] == []
    assert np.array_equal(KFashionDataset(tmp_path / "out/train").image_ids, [1])
