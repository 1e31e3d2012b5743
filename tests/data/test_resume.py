"""A conversion killed at any moment, and disks that are full or read-only."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kfashion_d2.data import convert, convert_dataset, shard
from tests.data.test_convert import everything, with_id, write

# Dies by SIGKILL just before the nth time that a file takes its final name.
KILLED = """
import os, signal, sys
from kfashion_d2.data import convert
convert.SHARD_SIZE = 3
calls = 0
def dying(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call
os.replace, os.rename, os.unlink = dying(os.replace), dying(os.rename), dying(os.unlink)
convert.convert_dataset(sys.argv[1], sys.argv[2])
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("resume") / "data"
    for number in range(1, 12):
        write(root, f"Training/모던/{number}.json", with_id(number))
    write(root, "Training/펑크/5.json", with_id(5, part="하의", labels={"색상": "블랙"}))  # a shard is written twice
    write(root, "Validation/모던/5.json", with_id(5))
    return root


@pytest.mark.parametrize("moment", [1, 4, 8, 15, 17, 19, 22, 25])
def test_killed_at_any_moment_it_ends_with_the_same_bytes(data, tmp_path, monkeypatch, moment):
    monkeypatch.setattr(convert, "SHARD_SIZE", 3)
    convert_dataset(data, tmp_path / "undisturbed")
    command = [sys.executable, "-c", KILLED, str(data), str(tmp_path / "out"), str(moment)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL, done.stderr
    convert_dataset(data, tmp_path / "out")
    assert everything(tmp_path / "out") == everything(tmp_path / "undisturbed")


def converted_shards(monkeypatch):
    """The files that a run writes anew."""
    written = []
    write_table = shard.write_table

    def note(path, table):
        written.append(path.name)
        return write_table(path, table)

    monkeypatch.setattr(shard, "write_table", note)
    return written


def test_finished_shards_are_kept_unless_their_files_changed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "SHARD_SIZE", 3)
    for name, touched in (("same", None), ("changed", data / "Training/모던/2.json")):
        out = tmp_path / name
        command = [sys.executable, "-c", KILLED, str(data), str(out), "8"]  # three renames a shard: in the third
        subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[2])
        if touched:
            os.utime(touched, ns=(0, touched.stat().st_mtime_ns + 1_000_000))
        with monkeypatch.context() as patch:
            written = converted_shards(patch)
            convert_dataset(data, out)
        first = ["shard-00000.arrow"] if touched else []
        assert written == [*first, "shard-00002.arrow", "shard-00003.arrow", "shard-00000.arrow"]


@pytest.mark.parametrize("place", ["shard", "summary"])
def test_a_full_disk_is_one_error_and_no_half_split(data, tmp_path, monkeypatch, place):
    def fail(path, content):
        if place == "shard" or path.name == "summary.json":
            raise OSError(28, "No space left on device", str(path))
        return write_atomically(path, content)

    write_atomically = shard.write_atomically
    monkeypatch.setattr(shard, "write_atomically", fail)
    monkeypatch.setattr(convert, "write_atomically", fail)
    with pytest.raises(OSError, match="No space left on device"):
        convert_dataset(data, tmp_path / "out")
    if place == "shard":
        assert not [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]


def test_a_read_only_output_is_one_line(data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".train.partial").write_text("a file where a folder should be")  # as root writes into read-only folders
    tool = Path(__file__).parents[2] / "tools/convert_kfashion.py"
    command = [sys.executable, str(tool), str(data), "--output", str(out / ".train.partial" / "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "error" in line] == done.stderr.splitlines()[-1:]
    assert "Traceback" not in done.stderr
