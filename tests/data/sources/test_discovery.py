import json
import os
import shutil
import struct
import unicodedata
import zipfile

import orjson
import pytest

from kfashion_d2.data import KFashionDataset, convert_dataset
from kfashion_d2.data.sources import discovery, reader
from kfashion_d2.data.sources.discovery import find_sources
from tests.data.annotations import everything, with_id, write, write_zip


def pack(folder, archive, drop=""):
    """A folder's files into a zip, with `drop` cut from their names; the folder goes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, str(path.relative_to(folder)))
    shutil.rmtree(folder)


@pytest.fixture
def data(tmp_path):
    """Two splits in files; what a JPEG holds does not matter here."""
    root = tmp_path / "data"
    for split, first in (("Training", 1), ("Validation", 5)):
        for number in range(first, first + 4):
            style = "모던" if number % 2 else "펑크"
            write(
                root,
                f"{split}/라벨링데이터/{style}/{number}.json",
                with_id(number),
                image_dir=f"{split}/원천데이터_1/{style}",
            )
            (root / f"{split}/원천데이터_1/{style}/{number}.jpg").write_bytes(b"picture %d" % number)
    return root


def rows_of(store):
    """What does not depend on where the files lie."""
    dataset = KFashionDataset(store)
    found = []
    for row in dataset:
        row = dict(row)
        row["stem"] = os.path.basename(row.pop("file_name"))
        row["label_file"] = os.path.basename(row["label_file"])
        found.append(row)
    return found


def test_zips_give_what_files_give(data, tmp_path):
    convert_dataset(data, tmp_path / "files")
    for split in ("Training", "Validation"):
        pack(data / split / "라벨링데이터", data / split / "라벨링데이터.zip")
        pack(data / split / "원천데이터_1", data / split / "원천데이터_1.zip")
    summary = convert_dataset(data, tmp_path / "zips")
    assert summary == json.loads((tmp_path / "files/summary.json").read_text("utf-8"))
    for split in ("train", "val"):
        assert rows_of(tmp_path / "zips" / split) == rows_of(tmp_path / "files" / split)
    # And the images are read out of the archives.
    from detectron2.utils.file_io import PathManager

    for row in KFashionDataset(tmp_path / "zips/val"):
        with PathManager.open(row["file_name"], "rb") as file:
            assert file.read() == b"picture %d" % row["image_id"]
    # The whole folder may move, and the images elsewhere.
    shutil.move(data, tmp_path / "moved")
    moved = KFashionDataset(tmp_path / "zips/val", image_root=tmp_path / "moved")
    with PathManager.open(moved[0]["file_name"], "rb") as file:
        assert file.read() == b"picture 5"


@pytest.mark.parametrize("packed", ["라벨링데이터", "원천데이터_1"])
def test_mixed_and_partly_there(data, tmp_path, packed):
    pack(data / "Training" / packed, data / "Training" / f"{packed}.zip")
    shutil.rmtree(data / "Validation/원천데이터_1")
    summary = convert_dataset(data, tmp_path / "out")
    assert summary["splits"]["train"]["images_out"] == 4
    assert summary["splits"]["val"]["images_out"] == 0
    found = find_sources(data).describe()
    assert "train: 4 annotations, 4 of them with an image" in found
    assert "val: 4 annotations, 0 of them with an image" in found
    assert f"in Training/{packed}.zip" in found and "in files" in found


def test_nested_roots_and_decomposed_names(data, tmp_path):
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as file:
        for path in sorted(data.rglob("*.json")):
            name = "K-Fashion/" + str(path.relative_to(data))
            file.write(path, unicodedata.normalize("NFD", name))
        file.writestr("__MACOSX/._1.json", "resource fork")
    for path in list(data.rglob("*.json")):
        path.unlink()
    shutil.move(tmp_path / "out.zip", data / "all.zip")
    summary = convert_dataset(data, tmp_path / "store")
    assert {name: split["images_out"] for name, split in summary["splits"].items()} == {"train": 4, "val": 4}


def test_bad_entries_and_archives_are_counted_and_listed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "MAX_LABEL_BYTES", 100_000)
    label = json.dumps(with_id(90), ensure_ascii=False)
    write_zip(
        data / "Training/bad.zip",
        {
            "모던/90.json": label,
            "모던/90.jpg": b"x",
            "../91.json": label,
            "모던/92.json": b" " * 200_000,
            "모던/93.zip": b"PK",
            "../94.jpg": b"x",
        },
    )
    (data / "Training/cut.zip").write_bytes((data / "Training/bad.zip").read_bytes()[:-30])
    (data / "Training/원천데이터_2.zip.part0").write_bytes(b"")
    (data / "Training/원천데이터_1/모던/4444.jpg").write_bytes(b"x")
    summary = convert_dataset(data, tmp_path / "out")
    assert summary["splits"]["train"]["images_out"] == 5
    assert summary["splits"]["train"]["annotations_dropped"] == 2
    reasons = {(p["reason"], p["of"], p["action"]): p["count"] for p in summary["problems"]}
    expected = {
        ("zip entry leaves the folder", "annotations", "dropped"): 1,
        ("zip entry too large", "annotations", "dropped"): 1,
        ("zip entry leaves the folder", "images", "noted"): 1,
        ("archive inside an archive, left alone", "archives", "noted"): 1,
        ("part of an archive: join the parts first", "archives", "noted"): 1,
        ("image without annotation", "images", "noted"): 1,
    }
    assert expected.items() <= reasons.items()
    cut = [key for key in reasons if key[0].startswith("archive unreadable: ")]
    assert len(cut) == 1 and "cut off" in cut[0][0]
    lines = [json.loads(line) for line in (tmp_path / "out/problems.jsonl").read_text().splitlines()]
    assert len(lines) == sum(reasons.values())
    assert "Training/bad.zip/../91.json" in {line["path"] for line in lines}


def test_damaged_entries_do_not_stop_a_conversion(data, tmp_path):
    pack(data / "Training/라벨링데이터", data / "Training/라벨링데이터.zip")
    path = data / "Training/라벨링데이터.zip"
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()[:2]
    whole[first.header_offset] = 0  # no local header
    at = second.header_offset + 30 + len(second.filename.encode())
    whole[at + 20] ^= 0xFF  # in the compressed bytes
    path.write_bytes(whole)
    summary = convert_dataset(data, tmp_path / "out")
    assert summary["splits"]["train"]["images_out"] == 2
    reasons = {p["reason"]: p["count"] for p in summary["problems"]}
    assert reasons["zip entry damaged"] == 2


def duplicate(root, path, created, **kwargs):
    obj = with_id(1, **kwargs)
    obj["데이터셋 정보"]["파일 생성일자"] = created
    write(root, path, obj)


@pytest.mark.parametrize(
    "dates, kept, reason",
    [
        (("2020-01-02 10:00:00", "2020-01-02 11:00:00"), "나/1", "duplicate id, other content"),
        (("2020-01-02 10:00:00", "2019-12-31 11:00:00"), "가/1", "duplicate id, other content"),
        (("2020-01-02 10:00:00", "2020-01-02 10:00:00"), "가/1", "duplicate id"),
    ],
)
def test_of_two_annotations_the_later_stays(tmp_path, dates, kept, reason):
    for folder, created in zip("가나", dates, strict=True):
        duplicate(tmp_path / "data", f"{folder}/1.json", created)
    summary = convert_dataset(tmp_path / "data", tmp_path / "out")
    (row,) = KFashionDataset(tmp_path / "out/train")
    assert row["label_file"] == f"{kept}.json"
    assert ("duplicate id" if dates[0] == dates[1] else reason) in {p["reason"] for p in summary["problems"]}
    with pytest.raises(ValueError, match=f"{reason} .*value 1"):
        convert_dataset(tmp_path / "data", tmp_path / "strict", strict=True)


@pytest.mark.parametrize("other, reason", [({}, ""), ({"labels": {"색상": "레드"}}, ", other content")])
def test_ids_in_two_splits_are_noted(data, tmp_path, other, reason):
    write(data, "Validation/라벨링데이터/모던/3.json", with_id(3, **other), image_dir="Validation/원천데이터_1/모던")
    summary = convert_dataset(data, tmp_path / "out")
    assert summary["splits"]["val"]["images_out"] == 5
    (line,) = [
        json.loads(line)
        for line in (tmp_path / "out/problems.jsonl").read_text().splitlines()
        if "also in split" in line
    ]
    assert line == {
        "split": "val",
        "path": "Validation/라벨링데이터/모던/3.json",
        "part": "",
        "key": "",
        "reason": f"id also in split train{reason}",
        "action": "noted",
        "value": 3,
    }


def test_many_archives_convert_alike_with_workers(data, tmp_path, monkeypatch):
    from kfashion_d2.data.conversion import convert

    monkeypatch.setattr(convert, "SHARD_SIZE", 2)
    for split in ("Training", "Validation"):
        pack(data / split / "라벨링데이터", data / split / "라벨링데이터.zip")
    outputs = []
    for workers in (1, 2):
        convert_dataset(data, tmp_path / f"out{workers}", workers=workers)
        outputs.append(everything(tmp_path / f"out{workers}"))
    assert outputs[0] == outputs[1]


def test_one_folder_of_images_serves_all_splits(tmp_path):
    root = tmp_path / "data"
    write(root, "Training/모던/1.json", with_id(1), image_dir="images")
    write(root, "Validation/모던/2.json", with_id(2), image_dir="images")
    summary = convert_dataset(root, tmp_path / "out")
    assert {name: split["images_out"] for name, split in summary["splits"].items()} == {"train": 1, "val": 1}


def test_a_named_split_beats_the_name_of_the_root(tmp_path):
    write(tmp_path / "val", "1.json", with_id(1))
    assert list(convert_dataset(tmp_path / "val", tmp_path / "a")["splits"]) == ["val"]
    assert list(convert_dataset(tmp_path / "val", tmp_path / "b", split="test")["splits"]) == ["test"]


def test_names_that_are_not_unicode_are_dropped_and_counted(tmp_path):
    root = tmp_path / "data"
    write(root, "1.json", with_id(1))
    with open(os.fsencode(root) + b"/\xb8\xf0.json", "wb") as file:
        file.write(b"{}")
    obj = with_id(2)
    obj["이미지 정보"]["이미지 파일명"] = "a\ud800.jpg"
    write(root, "2.json", json.dumps(obj))
    summary = convert_dataset(root, tmp_path / "out")
    assert summary["splits"]["train"]["images_out"] == 2
    reasons = {p["reason"] for p in summary["problems"]}
    assert {"file name is not Unicode", "text is not Unicode"} <= reasons


def test_an_archive_whose_name_is_not_unicode_is_named(data, tmp_path):
    shutil.copytree(data / "Validation", tmp_path / "more")
    pack(tmp_path / "more", tmp_path / "more.zip")
    os.rename(tmp_path / "more.zip", os.fsencode(data) + b"/\xb8\xf0.zip")
    summary = convert_dataset(data, tmp_path / "out")
    assert {name: split["images_out"] for name, split in summary["splits"].items()} == {"train": 4, "val": 4}
    (line,) = map(json.loads, (tmp_path / "out/problems.jsonl").read_text().splitlines())
    assert (line["path"], line["reason"]) == ("\\udcb8\\udcf0.zip", "archive unreadable: its path is not Unicode")


def test_names_that_are_not_unicode_stand_in_a_list_that_any_parser_reads(data, tmp_path):
    for name in (b"\xb8\xf0.tar", b"\xb8\xf0.zip.part0"):
        with open(os.fsencode(data) + b"/" + name, "wb"):
            pass
    convert_dataset(data, tmp_path / "out")
    lines = [orjson.loads(line) for line in (tmp_path / "out/problems.jsonl").read_bytes().splitlines()]
    assert [(line["path"], line["value"]) for line in lines] == [
        ("\\udcb8\\udcf0.tar", None),
        ("\\udcb8\\udcf0.zip.part0", None),
    ]


def test_what_is_an_annotation_by_its_name(tmp_path):
    """In files and in an archive alike."""
    root = tmp_path / "data"
    write(root, "Training/a/1.json", with_id(1))
    for name in ("json", "zip", "tar", "b.JSON", "._1.json", "notes.txt", ".json.bak"):
        shutil.copy(root / "Training/a/1.json", root / "Training/a" / name)
    for _ in range(2):
        index = find_sources(root)
        found = [os.path.basename(path) for path in index.labels.paths.to_pylist()]
        assert sorted(found) == ["1.json", "b.JSON"]
        assert [note.reason for note in index.notes() if note.unit == "archives"] == []
        if (root / "Training").exists():
            pack(root / "Training", root / "Training.zip")


def test_an_entry_that_declares_more_than_int64(data, tmp_path):
    """In the Zip64 field of a table of contents; made by hand."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, 0, 2, 2, 7, 0) + b"90.json{}"
    extra = struct.pack("<2H3Q", 1, 24, 2**64 - 1, 2, 0)
    central = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, *[2**32 - 1] * 2, 7, 28, 0, 0, 0, 0, 2**32 - 1
    )
    central += b"90.json" + extra
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    (data / "Training/huge.zip").write_bytes(local + central + end)
    summary = convert_dataset(data, tmp_path / "out")
    assert summary["splits"]["train"]["annotations_dropped"] == 1
    assert ("zip entry too large", 1) in {(p["reason"], p["count"]) for p in summary["problems"]}


@pytest.mark.parametrize("names", [("1.Training", "2.Validation"), ("01. training", "02_val"), ("TRAIN", "3-Valid")])
def test_numbered_folders(data, tmp_path, names):
    for old, new in zip(("Training", "Validation"), names, strict=True):
        os.rename(data / old, data / new)
    summary = convert_dataset(data, tmp_path / "out")
    assert {name: split["images_out"] for name, split in summary["splits"].items()} == {"train": 4, "val": 4}


def test_linked_folders_are_followed_once(data, tmp_path):
    """The splits on two disks, a link back, and a folder that is reached in two ways."""
    shutil.move(data / "Validation", tmp_path / "other disk")
    (data / "Validation").symlink_to(tmp_path / "other disk")
    (tmp_path / "other disk/back").symlink_to(data)
    (data / "Training/again").symlink_to(data / "Training/라벨링데이터")
    summary = convert_dataset(data, tmp_path / "out")
    assert {name: split["annotations"] for name, split in summary["splits"].items()} == {"train": 4, "val": 4}
    assert summary["problems"] == []


def test_both_the_archives_and_what_was_in_them(data, tmp_path):
    """As after unpacking: each annotation once, the copies counted and named for what they are."""
    for part in ("라벨링데이터", "원천데이터_1"):
        shutil.copytree(data / "Training" / part, tmp_path / part)
        pack(tmp_path / part, data / "Training" / f"{part}.zip")
    summary = convert_dataset(data, tmp_path / "out")
    assert summary["splits"]["train"]["images_out"] == 4 and summary["splits"]["train"]["annotations_dropped"] == 4
    reasons = {(p["reason"], p["of"]): p["count"] for p in summary["problems"]}
    assert reasons["duplicate id", "annotations"] == 4
    assert reasons["annotation has another image of this name", "images"] == 4
    assert ("image without annotation", "images") not in reasons


def test_archives_of_other_kinds_are_named(data, tmp_path):
    (data / "download.tar").write_bytes(b"x")
    write_zip(data / "more.zip", {"모던/more.tar": b"x"})
    summary = convert_dataset(data, tmp_path / "out")
    assert {p["reason"] for p in summary["problems"]} == {
        "archive of a kind that is not read: unpack it",
        "archive inside an archive, left alone",
    }
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/download.tar").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"download\.tar: archive of a kind"):
        convert_dataset(tmp_path / "alone", tmp_path / "out")


def test_strict_stops_at_an_archive_that_cannot_be_read(data, tmp_path):
    (data / "Validation/라벨링데이터.zip").write_bytes(b"PK\3\4 the rest did not arrive")
    with pytest.raises(ValueError, match=r"Validation/라벨링데이터\.zip: archive unreadable: .*cut off"):
        convert_dataset(data, tmp_path / "out", strict=True)
    assert not (tmp_path / "out").exists()


def test_a_label_file_that_is_no_annotation_by_its_size(data, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "MAX_LABEL_BYTES", 100_000)
    (data / "Training/라벨링데이터/모던/90.json").write_bytes(b" " * 100_001)
    summary = convert_dataset(data, tmp_path / "out")
    assert ("file too large", 1) in {(p["reason"], p["count"]) for p in summary["problems"]}
    assert summary["splits"]["train"]["annotations"] == 5 and summary["splits"]["train"]["images_out"] == 4
