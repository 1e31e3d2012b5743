#!/usr/bin/env python3
"""Install Detectron2 into the Python that runs this script, unless it can be imported already.

Detectron2 is on no package registry, but labgym 3.1.2 carries an unchanged copy of its commit b7ff9466 under
``LabGym/detectron2``. That wheel is downloaded, checked against a fixed SHA-256, repacked under Detectron2's own name
(imports renamed back, upstream's licence added) and installed. The result is pure Python: it has no compiled operators
(deformable convolutions, rotated boxes), which the models of this repository do not use. ``--from-source`` compiles
upstream at a fixed commit instead, and needs git, a C++ compiler and some minutes.

It uses the standard library only, as it runs before anything else is there. PyTorch must be installed first.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

CARRIER = "labgym==3.1.2"
CARRIER_WHEEL = "labgym-3.1.2-py3-none-any.whl"
CARRIER_SHA256 = "a2900cff8a3fb508e1975f19b5f9abd9f261966db87b0c332697fb4138c1cb2b"
CARRIER_COMMIT = "b7ff9466d174fbb7061ff6d3773cd9c372a8e56f"

UPSTREAM = "https://github.com/facebookresearch/detectron2"
UPSTREAM_COMMIT = "02b5c4e295e990042a714712c21dc79b731e8833"

WHEEL_NAME = "detectron2-0.6-py3-none-any.whl"
DIST_INFO = "detectron2-0.6.dist-info"
TIMESTAMP = (2024, 1, 26, 20, 44, 18)  # of CARRIER_COMMIT: equal input gives equal bytes
PIP_FLOOR = (21, 0)

# torch and torchvision are left out on purpose: installing the wheel must never replace the user's build of them.
REQUIREMENTS = (
    "numpy",
    "Pillow>=7.1",
    "fvcore>=0.1.5,<0.1.6",
    "iopath>=0.1.7,<0.1.11",
    "yacs>=0.1.8",
    "omegaconf>=2.1,<2.4",
    "hydra-core>=1.1",
    "tabulate",
    "cloudpickle",
    "tqdm>4.29.0",
    "termcolor>=1.1",
    "matplotlib",
    "pycocotools>=2.0.2",
    "tensorboard",
    "packaging",
    "setuptools<81",  # model_zoo imports pkg_resources
)


class InstallError(Exception):
    """A failure that the user can act on; its text is one line."""


def find_detectron2() -> str | None:
    """
    Returns:
        "version (position)" of the Detectron2 that this Python imports, or None where there is none.

    Raises:
        InstallError: it is there, but cannot be imported.
    """
    code = "import detectron2; print(f'{detectron2.__version__} ({detectron2.__path__[0]})')"
    probe = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "tools", capture_output=True, text=True)
    if probe.returncode == 0:
        return probe.stdout.strip().splitlines()[-1]
    reason = (probe.stderr.strip().splitlines() or ["no message"])[-1]
    if reason == "ModuleNotFoundError: No module named 'detectron2'":
        return None
    raise InstallError(
        f"Detectron2 is installed but cannot be imported ({reason}): repair it, "
        "or remove it with 'python -m pip uninstall detectron2' and run this again"
    )


def check_environment() -> None:
    """Raises InstallError where PyTorch or pip is missing, or pip is too old."""
    if importlib.util.find_spec("torch") is None:
        raise InstallError("Detectron2 needs PyTorch: run 'python -m pip install -r requirements.txt' first")
    pip = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, text=True)
    if pip.returncode != 0:
        raise InstallError(f"{sys.executable} has no pip: run 'python -m ensurepip --upgrade' first")
    version = pip.stdout.split()[1]
    if tuple(int(number) for number in version.split(".")[:2]) < PIP_FLOOR:
        floor = ".".join(map(str, PIP_FLOOR))
        raise InstallError(f"pip {version} is older than {floor}: run 'python -m pip install --upgrade pip' first")


def pip_reason(output: str) -> str:
    """Returns the one line of a failed pip's output that says why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("(from versions: none)" in line for line in lines):
        return "no package index could be reached that has it; check the network and 'python -m pip config list'"
    if "[end of output]" in lines[1:]:  # of a command that pip ran: git, a compiler
        return lines[lines.index("[end of output]") - 1]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["pip gave no message"])[-1]


def run_pip(arguments: list[str], failure: str) -> None:
    """Runs ``pip arguments``; where it fails, raises InstallError: ``failure`` and pip's reason."""
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise InstallError(f"{failure}: {pip_reason(done.stdout + done.stderr)}")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def check_carrier(wheel: Path) -> None:
    """Raises InstallError unless ``wheel`` is, byte for byte, the labgym wheel that was checked by hand."""
    digest = sha256(wheel.read_bytes()).hex()
    if digest != CARRIER_SHA256:
        raise InstallError(
            f"{wheel} has SHA-256 {digest}, expected {CARRIER_SHA256}: delete it and try again, or use --from-source"
        )


def download_carrier(folder: Path) -> Path:
    """Downloads the labgym wheel into ``folder``, unless it lies there, and checks its hash."""
    wheel = folder / CARRIER_WHEEL
    if not wheel.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            options = ["--quiet", "--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--dest", scratch]
            run_pip(["download", *options, CARRIER], f"cannot download {CARRIER}")
            check_carrier(Path(scratch, CARRIER_WHEEL))
            os.replace(Path(scratch, CARRIER_WHEEL), wheel)
    check_carrier(wheel)
    return wheel


def detectron2_files(carrier: Path) -> dict[str, bytes]:
    """
    Returns:
        path in the new wheel -> content, for every file of Detectron2 in the labgym wheel, with its imports renamed.

    Raises:
        InstallError: the wheel holds no Detectron2, or a file still names LabGym.
    """
    files = {}
    with zipfile.ZipFile(carrier) as archive:
        for name in archive.namelist():
            if not name.startswith("LabGym/detectron2/") or name.endswith("/"):
                continue
            content = archive.read(name)
            if name.endswith((".py", ".yaml")):
                content = content.replace(b"LabGym.detectron2", b"detectron2")
            if b"LabGym" in content:
                raise InstallError(f"{name} in {carrier} still names LabGym after renaming: use --from-source")
            files[name.removeprefix("LabGym/")] = content
    if "detectron2/__init__.py" not in files:
        raise InstallError(f"{carrier} holds no LabGym/detectron2: use --from-source")
    return files


def dist_info(license_text: bytes) -> dict[str, bytes]:
    """Returns path in the new wheel -> content of its metadata files, RECORD apart."""
    metadata = [
        "Metadata-Version: 2.1",
        "Name: detectron2",
        "Version: 0.6",
        "Summary: Detectron2, pure Python, without its compiled operators",
        f"Home-page: {UPSTREAM}",
        "License: Apache-2.0",
        "License-File: LICENSE",
        "License-File: NOTICE",
        "Requires-Python: >=3.10",
        *(f"Requires-Dist: {requirement}" for requirement in REQUIREMENTS),
        "",
        f"Commit {CARRIER_COMMIT} of {UPSTREAM}, taken from {CARRIER}.",
    ]
    wheel = ["Wheel-Version: 1.0", "Generator: install_detectron2", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    notice = f"Detectron2, copyright Meta Platforms, Inc. and its affiliates: commit {CARRIER_COMMIT} of {UPSTREAM}."
    return {
        f"{DIST_INFO}/METADATA": "\n".join([*metadata, ""]).encode(),
        f"{DIST_INFO}/WHEEL": "\n".join([*wheel, ""]).encode(),
        f"{DIST_INFO}/licenses/LICENSE": license_text,
        f"{DIST_INFO}/licenses/NOTICE": f"{notice}\n".encode(),
        f"{DIST_INFO}/top_level.txt": b"detectron2\n",
    }


def repack(carrier: Path, folder: Path, license_text: bytes) -> Path:
    """
    Writes Detectron2's own wheel from the labgym wheel; the same input gives the same bytes on every machine.

    Args:
        carrier: the labgym wheel.
        folder: gets ``detectron2-0.6-py3-none-any.whl``, replaced in one step if it exists.
        license_text: Detectron2's licence, which labgym does not carry.

    Raises:
        InstallError: see :func:`detectron2_files`.
    """
    files = {**dict(sorted(detectron2_files(carrier).items())), **dist_info(license_text)}
    record = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(sha256(content)).rstrip(b"=").decode()
        record.append(f"{name},sha256={digest},{len(content)}\n")
    record.append(f"{DIST_INFO}/RECORD,,\n")
    files[f"{DIST_INFO}/RECORD"] = "".join(record).encode()

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unfinished = Path(scratch, WHEEL_NAME)
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:  # zlib's output differs by version
            for name, content in files.items():
                entry = zipfile.ZipInfo(name, TIMESTAMP)
                entry.create_system = 3  # Unix, whatever the machine
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, content)
        os.replace(unfinished, folder / WHEEL_NAME)
    return folder / WHEEL_NAME


def install(from_source: bool, wheel_dir: Path) -> None:
    if from_source:
        print(f"Compiling Detectron2 at commit {UPSTREAM_COMMIT[:8]}; this takes some minutes", flush=True)
        target = f"git+{UPSTREAM}@{UPSTREAM_COMMIT}"
        # Its setup.py imports torch, and must see the torch that it will run with. Upstream does not cap setuptools.
        options = ["--quiet", "--no-build-isolation"]
        run_pip(["install", *options, target, "setuptools<81"], "cannot install Detectron2 from source")
        return
    carrier = download_carrier(wheel_dir)
    wheel = repack(carrier, wheel_dir, (REPOSITORY / "LICENSE").read_bytes())
    run_pip(["install", "--quiet", str(wheel)], f"cannot install {wheel.name}")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Install Detectron2 for the Python that runs this script.")
    parser.add_argument("--from-source", action="store_true", help="compile upstream at a fixed commit instead")
    parser.add_argument(
        "--wheel-dir",
        type=Path,
        default=REPOSITORY / ".cache" / "wheels",
        help="folder of the downloaded and the repacked wheel; what lies there is not downloaded again "
        "(default: .cache/wheels in the repository)",
    )
    args = parser.parse_args(argv)
    try:
        location = find_detectron2()
        if location is not None:
            print(f"Detectron2 is already installed: {location}")
            return 0
        check_environment()
        install(args.from_source, args.wheel_dir)
        location = find_detectron2()
        if location is None:
            raise InstallError(f"pip reported no error, but {sys.executable} does not find Detectron2")
        print(f"Detectron2 installed: {location}")
        return 0
    except InstallError as error:
        print(f"install_detectron2: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
