import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kfashion_d2.data import convert_dataset
from kfashion_d2.data.sources.walk import walk_sources
from tests.data.annotations import with_id, write

TOOL = Path(__file__).parents[3] / "tools/convert_kfashion.py"


@pytest.fixture
def data(tmp_path):
    for number, folder in ((1, "Training/모던"), (2, "Training/펑크"), (3, "Validation/모던")):
        write(tmp_path / "data", f"{folder}/{number}.json", with_id(number))
    return tmp_path / "data"


def refuse(monkeypatch, *names):
    """Root may read anything, so the refusal is made."""
    scandir = os.scandir

    def scan(path):
        if isinstance(path, str) and os.path.basename(path) in names:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)


def problems(output):
    lines = map(json.loads, (output / "problems.jsonl").read_text("utf-8").splitlines())
    return [(line["path"], line["reason"], line["action"], line["value"]) for line in lines]


def test_folders_that_cannot_be_read_are_named(data, tmp_path, monkeypatch):
    refuse(monkeypatch, "펑크", "Validation")
    summary = convert_dataset(data, tmp_path / "out")
    assert {name: split["images_out"] for name, split in summary["splits"].items()} == {"train": 1}
    assert problems(tmp_path / "out") == [
        ("Training/펑크", "folder unreadable", "noted", "Permission denied"),
        ("Validation", "folder unreadable", "noted", "Permission denied"),
    ]
    assert {(p["reason"], p["of"], p["count"]) for p in summary["problems"]} == {("folder unreadable", "folders", 2)}
    with pytest.raises(ValueError, match=r"Training/펑크: folder unreadable \(Permission denied\)"):
        convert_dataset(data, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()
    refuse(monkeypatch, "Training")
    with pytest.raises(FileNotFoundError, match=r"no \.json annotation .*Training: folder unreadable"):
        convert_dataset(data, tmp_path / "nothing")
    refuse(monkeypatch, "data")
    with pytest.raises(PermissionError, match="Permission denied"):
        convert_dataset(data, tmp_path / "nothing")


def test_links_that_lead_nowhere_are_named(data, tmp_path):
    (data / "Training/원천데이터_2").symlink_to("/mnt/unplugged")
    (data / "Training/모던/9.json").symlink_to("gone.json")
    (data / "Training/모던/circle").symlink_to("circle")
    (data / "Training/모던/.hidden").symlink_to("gone")
    summary = convert_dataset(data, tmp_path / "out")
    assert summary["splits"]["train"]["annotations"] == summary["splits"]["train"]["images_out"] == 2
    reason = "link leads nowhere"
    assert problems(tmp_path / "out") == [
        ("Training/원천데이터_2", reason, "noted", "/mnt/unplugged"),
        ("Training/모던/9.json", reason, "noted", "gone.json"),
        ("Training/모던/circle", reason, "noted", "circle"),
    ]
    command = [sys.executable, str(TOOL), str(data), "--output", str(tmp_path / "strict"), "--strict"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("원천데이터_2: link leads nowhere (/mnt/unplugged)")


def test_the_order_is_fixed_and_hidden_folders_are_left_out(data):
    for name in (".ipynb_checkpoints/1-checkpoint.json", "__MACOSX/1.json", "a/._1.json", "a/b/2.json", "c.json"):
        write(data, name, "{}", image=False)
    content = [(folder.path, folder.names) for folder in walk_sources(data)]
    assert content == [
        ("", ["c.json"]),
        ("Training", []),
        ("Training/모던", ["1.jpg", "1.json"]),
        ("Training/펑크", ["2.jpg", "2.json"]),
        ("Validation", []),
        ("Validation/모던", ["3.jpg", "3.json"]),
        ("a", []),
        ("a/b", ["2.json"]),
    ]
