"""The repack, on a tiny wheel made here; nothing is downloaded or installed."""

import base64
import csv
import hashlib
import importlib.util
import io
import subprocess
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "install_detectron2.py"
LICENSE = b"Apache License, in full"


@pytest.fixture
def installer():
    spec = importlib.util.spec_from_file_location("install_detectron2", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def carrier(tmp_path):
    path = tmp_path / "labgym-3.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("LabGym/__init__.py", "import nothing_of_ours")
        archive.writestr("LabGym/detectron2/data/build.py", "from LabGym.detectron2.utils import comm\n")
        archive.writestr("LabGym/detectron2/__init__.py", '__version__ = "0.6"\n')
        archive.writestr("LabGym/detectron2/model_zoo/configs/a.yaml", "_target_: LabGym.detectron2.modeling\n")
        archive.writestr("labgym-3.1.2.dist-info/METADATA", "Name: labgym")
    return path


def read(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_repack_renames_and_leaves_the_carrier_out(installer, carrier, tmp_path):
    files = read(installer.repack(carrier, tmp_path / "out", LICENSE))
    assert files["detectron2/data/build.py"] == b"from detectron2.utils import comm\n"
    assert files["detectron2/model_zoo/configs/a.yaml"] == b"_target_: detectron2.modeling\n"
    assert {name.split("/")[0] for name in files} == {"detectron2", "detectron2-0.6.dist-info"}
    assert files["detectron2-0.6.dist-info/licenses/LICENSE"] == LICENSE
    assert b"b7ff9466" in files["detectron2-0.6.dist-info/licenses/NOTICE"]
    metadata = files["detectron2-0.6.dist-info/METADATA"].decode()
    assert "Requires-Dist: setuptools<81" in metadata
    assert "Requires-Dist: torch" not in metadata  # a user's own build of it must stay


def test_record_holds_the_hash_of_every_file(installer, carrier, tmp_path):
    files = read(installer.repack(carrier, tmp_path / "out", LICENSE))
    rows = list(csv.reader(io.StringIO(files["detectron2-0.6.dist-info/RECORD"].decode())))
    assert [row[0] for row in rows] == list(files)
    for name, digest, size in rows[:-1]:
        expected = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        assert (digest, int(size)) == (f"sha256={expected}", len(files[name]))


def test_two_repacks_are_equal_to_the_byte(installer, carrier, tmp_path):
    first = installer.repack(carrier, tmp_path / "a", LICENSE).read_bytes()
    assert installer.repack(carrier, tmp_path / "b", LICENSE).read_bytes() == first


def test_a_wrong_hash_is_one_line_and_installs_nothing(installer, carrier, capsys, monkeypatch):
    monkeypatch.setattr(installer, "find_detectron2", lambda: None)
    monkeypatch.setattr(installer, "run_pip", lambda *args: pytest.fail("pip was called"))
    assert installer.main(["--wheel-dir", str(carrier.parent)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    found = hashlib.sha256(carrier.read_bytes()).hexdigest()
    assert found in error and installer.CARRIER_SHA256 in error and carrier.name in error


def test_an_importable_detectron2_is_left_alone(installer, capsys, monkeypatch):
    monkeypatch.setattr(installer, "install", lambda *args: pytest.fail("it was replaced"))
    assert installer.main([]) == 0
    assert capsys.readouterr().out.startswith("Detectron2 is already installed: ")


@pytest.mark.parametrize(
    "output, words",
    [
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken\n"
            "ERROR: Could not find a version that satisfies the requirement labgym==3.1.2 (from versions: none)\n"
            "ERROR: No matching distribution found for labgym==3.1.2",
            "check the network",
        ),
        ("ERROR: No matching distribution found for labgym==3.1.2", "No matching distribution"),
    ],
)
def test_a_failing_download_is_one_line(installer, tmp_path, capsys, monkeypatch, output, words):
    monkeypatch.setattr(installer, "find_detectron2", lambda: None)
    monkeypatch.setattr(installer, "check_environment", lambda: None)
    done = subprocess.CompletedProcess([], 1, stdout="", stderr=output)
    monkeypatch.setattr(installer.subprocess, "run", lambda *args, **kwargs: done)
    assert installer.main(["--wheel-dir", str(tmp_path / "new")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot download labgym==3.1.2" in error and words in error


def test_an_old_pip_is_one_line(installer, capsys, monkeypatch):
    monkeypatch.setattr(installer, "find_detectron2", lambda: None)
    done = subprocess.CompletedProcess([], 0, stdout="pip 20.0.2 from somewhere (python 3.10)", stderr="")
    monkeypatch.setattr(installer.subprocess, "run", lambda *args, **kwargs: done)
    assert installer.main([]) == 1
    assert "pip 20.0.2 is older than 21.0: run 'python -m pip install --upgrade pip'" in capsys.readouterr().err
