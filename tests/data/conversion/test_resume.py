"""A conversion killed at any moment, and disks that are full or read-only."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kfashion_d2.data import convert_dataset
from kfashion_d2.data.conversion import convert, shard
from tests.data.annotations import everything, with_id, write

# Dies by SIGKILL just before the nth time that a file takes its final name.
KILLED = """
import os, signal, sys
from kfashion_d2.data.conversion import convert
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


@pytest.mark.parametrize("moment", [1, 4, 8, 15, 16, 17, 18, 19, 20, 22, 25, 26])
def test_killed_at_any_moment_it_ends_with_the_same_bytes(data, tmp_path, monkeypatch, moment):
    monkeypatch.setattr(convert, "SHARD_SIZE", 3)
    convert_dataset(data, tmp_path / "undisturbed")
    command = [sys.executable, "-c", KILLED, str(data), str(tmp_path / "out"), str(moment)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[3])
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
        subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[3])
        if touched:
            os.utime(touched, ns=(0, touched.stat().st_mtime_ns + 1_000_000))
        with monkeypatch.context() as patch:
            written = converted_shards(patch)
            convert_dataset(data, out)
        first = ["shard-00000.arrow"] if touched else []
        assert written == [*first, "shard-00002.arrow", "shard-00003.arrow", "shard-00000.arrow"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("position", ["shard", "summary"])
def test_a_full_disk_is_one_error_and_no_half_split(data, tmp_path, monkeypatch, position, workers):
    def fail(path, content):
        if position == "shard" or path.name == "summary.json":
            raise OSError(28, "No space left on device", str(path))
        return write_file(path, content)

    write_file = shard.write_file
    monkeypatch.setattr(shard, "write_file", fail)
    monkeypatch.setattr(convert, "write_file", fail)
    with pytest.raises(OSError, match="No space left on device"):
        convert_dataset(data, tmp_path / "out", workers=workers)
    if position == "shard":
        assert not [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]


TOOL = Path(__file__).parents[3] / "tools/convert_kfashion.py"

# Files of more than so many bytes cannot be written by the process or its workers, as on a disk that fills up.
LIMITED = """
import resource, runpy, signal, sys
from kfashion_d2.data.conversion import convert
convert.SHARD_SIZE = 3
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_writes_that_fail_are_one_line_and_the_next_run_ends_well(data, tmp_path, monkeypatch, workers):
    out = tmp_path / "out"
    options = [str(data), "--output", str(out), "--workers", workers]
    command = [sys.executable, "-c", LIMITED, "4000", str(TOOL), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOOL.parents[1])
    assert done.returncode == 1 and "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(errors) == 1 and errors[0].startswith("convert_kfashion.py: error: ") and "File too large" in errors[0]
    assert ".arrow" in errors[0]
    assert not [path for path in out.iterdir() if not path.name.startswith(".")]
    monkeypatch.setattr(convert, "SHARD_SIZE", 3)
    convert_dataset(data, out)
    convert_dataset(data, tmp_path / "undisturbed")
    assert everything(out) == everything(tmp_path / "undisturbed")


# The parent's own pool, of workers that say who they are and would wait for work for ever.
ORPHANS = """
import os, sys
from multiprocessing import set_start_method
from kfashion_d2.utils.workers import worker_pool
if __name__ == "__main__":
    set_start_method(sys.argv[1])
    with worker_pool(2) as pool:
        print(*{pool.submit(os.getpid).result() for _ in range(2)}, flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_end_with_a_parent_that_is_killed(tmp_path, method):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, str(script), method], env=environment, **pipes) as parent:
        assert parent.stdout.readline().split()
        parent.kill()
        # The workers hold the other ends of the pipes: they close when the last one is gone.
        parent.communicate(timeout=30)


def test_a_worker_that_dies_is_one_error(data, tmp_path, monkeypatch):
    monkeypatch.setattr(shard, "write_table", lambda *args: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ChildProcessError, match="one of 2 worker processes died"):
        convert_dataset(data, tmp_path / "out", workers=2)
    assert not [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]


def test_a_place_that_may_not_be_written_is_one_error(data, tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal is made."""

    def refuse(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        convert_dataset(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_read_only_output_is_one_line(data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".train.partial").write_text("a file where a folder should be")  # as root writes into read-only folders
    command = [sys.executable, str(TOOL), str(data), "--output", str(out / ".train.partial" / "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "error" in line] == done.stderr.splitlines()[-1:]
    assert "Traceback" not in done.stderr
