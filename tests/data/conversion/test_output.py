"""A conversion deletes nothing that it did not make, and takes no store for raw data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kfashion_d2.data import convert_dataset
from kfashion_d2.data.store.folder import check_split_folder
from tests.data.annotations import everything, with_id, write

TOOL = Path(__file__).parents[3] / "tools/convert_kfashion.py"


@pytest.fixture
def data(tmp_path):
    for number in (1, 2):
        write(tmp_path / "data", f"train/{number}.json", with_id(number))
    return tmp_path / "data"


@pytest.mark.parametrize(
    "output, message",
    [
        ("data", "is what is read"),
        ("link", "is what is read"),
        ("data/train", "lies inside .*data"),
        ("data/new/store", "lies inside .*data"),
        (".", r"holds .*data"),
    ],
)
def test_an_output_in_or_around_the_data_is_refused(data, tmp_path, output, message):
    (tmp_path / "link").symlink_to(data)
    before = everything(tmp_path)
    with pytest.raises(ValueError, match=f"{message}.*: give "):
        convert_dataset(data, tmp_path / output)
    assert everything(tmp_path) == before and not (data / "new").exists()


def test_the_refusal_is_one_line(data):
    command = [sys.executable, str(TOOL), str(data), "--output", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    error = f"convert_kfashion.py: error: {data} is what is read: give another folder for the output\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", error)


@pytest.mark.parametrize("name", ["holiday.jpg", "train/holiday.jpg", "train/meta.json"])
def test_a_folder_of_other_files_is_refused(data, tmp_path, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"out holds something else .*another folder"):
        convert_dataset(data, tmp_path / "out")
    assert everything(tmp_path / "out") == {name: b"{}"}


def test_what_lies_inside_a_split_is_not_deleted_with_it(data, tmp_path):
    convert_dataset(data, tmp_path / "out")
    first = everything(tmp_path / "out")
    for name in ("coco_category_0123456789ab.json", ".DS_Store"):  # written by this package, and by nobody
        (tmp_path / "out/train" / name).write_bytes(b"")
    convert_dataset(data, tmp_path / "out")
    assert everything(tmp_path / "out") == first
    (tmp_path / "out/train/photos").mkdir()
    (tmp_path / "out/train/photos/1.jpg").write_bytes(b"x")
    (tmp_path / "out/val").mkdir()
    (tmp_path / "out/val/1.jpg").write_bytes(b"x")
    before = everything(tmp_path / "out")
    with pytest.raises(ValueError, match=r"out/train is a converted split, and holds .*\(photos\)"):
        convert_dataset(data, tmp_path / "out")
    with pytest.raises(ValueError, match=r"out/val holds something else .*\(1\.jpg\)"):
        convert_dataset(data / "train", tmp_path / "out", split="val")
    assert everything(tmp_path / "out") == before
    with pytest.raises(ValueError, match=r"holds .*data/train, which is read"):
        check_split_folder(data, sources=[data / "train"])


def test_a_linked_split_is_replaced_and_what_it_leads_to_stays(data, tmp_path):
    convert_dataset(data, tmp_path / "out")
    first = everything(tmp_path / "out")
    shutil.move(tmp_path / "out/train", tmp_path / "elsewhere")
    (tmp_path / "out/train").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        convert_dataset(data, tmp_path / "out")
        assert everything(tmp_path / "out") == first and not (tmp_path / "out/train").is_symlink()
    assert (tmp_path / "elsewhere/meta.json").is_file()


def test_a_store_is_no_raw_data(data, tmp_path):
    convert_dataset(data, tmp_path / "store")
    for given, named in (("store/train", "train is"), ("store", "store holds nothing but train, which is")):
        with pytest.raises(ValueError, match=f"{named} a converted store: give the folder of the annotations"):
            convert_dataset(tmp_path / given, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # Beside raw data it is left alone, with all that the conversion wrote.
    shutil.move(tmp_path / "store", data / "store")
    write(data, "other/summary.json", with_id(3))
    summary = convert_dataset(data, tmp_path / "out", strict=True)
    assert summary["splits"]["train"]["annotations"] == summary["splits"]["train"]["images_out"] == 3
    (line,) = map(json.loads, (tmp_path / "out/problems.jsonl").read_text("utf-8").splitlines())
    assert (line["path"], line["reason"], line["action"]) == ("store/train", "converted store, left alone", "noted")
