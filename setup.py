"""Packaging. Detectron2 is not among the requirements, as no registry has it: see tools/install_detectron2.py."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithConfigs(build_py):
    """Ships the repository's configs/ as kfashion_d2/configs; an editable install reads them where they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "kfashion_d2", "configs")
            shutil.rmtree(target, ignore_errors=True)  # an earlier build may hold configs that are gone
            shutil.copytree(ROOT / "configs", target)


def version() -> str:
    match = re.search(r'^__version__ = "(.+)"$', (ROOT / "kfashion_d2/__init__.py").read_text("utf-8"), re.MULTILINE)
    assert match is not None
    return match[1]


ONNX = ["onnx>=1.16", "onnxruntime>=1.18"]  # tools/export_model.py
SPLITS = ["imagehash>=4.3", "scipy>=1.10"]  # tools/split_data.py
FACES = ["scikit-image>=0.22"]  # tools/analyze_data.py --blur-faces
FUZZ = ["atheris>=2.3"]  # tools/fuzz.py; ready-made for Linux alone, so neither in dev nor in requirements.txt
CROP = ["shapely>=2.0"]  # INPUT.CROP.ENABLED with masks; Detectron2's crop imports it
VIT = ["timm>=0.9"]  # Detectron2's ViT imports it
KOREAN = ["koreanize-matplotlib>=0.1.1"]  # only for its NanumGothic font files; it is never imported

setup(
    name="kfashion_d2",
    version=version(),
    description="K-Fashion datasets, attribute heads and metrics for Detectron2",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["kfashion_d2", "kfashion_d2.*"]),
    package_data={"kfashion_d2": ["py.typed", "**/*.yaml", "**/*.html", "**/*.html.j2"]},
    cmdclass={"build_py": BuildWithConfigs},
    install_requires=[
        "torch>=2.4",
        "torchvision>=0.19",
        "numpy>=1.26",
        "pillow>=9.4",
        "opencv-python-headless>=4.8",
        "pyarrow>=14",
        "orjson>=3.9",
        "tqdm>=4.60",
        "PyYAML>=6.0",
        "matplotlib>=3.7",
        "jinja2>=3.1",
        "pycocotools>=2.0.7",
        "tensorboard>=2.12",
        "fvcore>=0.1.5",
        "iopath>=0.1.9",
        "tabulate>=0.9",
        "termcolor>=1.1",
    ],
    extras_require={
        "crop": CROP,
        "faces": FACES,
        "fuzz": FUZZ,
        "korean": KOREAN,
        "onnx": ONNX,
        "splits": SPLITS,
        "vit": VIT,
        "dev": [
            *FACES,
            *KOREAN,
            *ONNX,
            *SPLITS,
            *VIT,
            "fashionpedia>=1.1",
            "hotcoco>=1.3",
            "pandas>=2.0",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "scikit-learn>=1.4",
            "ruff>=0.9",
            "mypy>=1.11",
            "types-PyYAML",
        ],
    },
)
