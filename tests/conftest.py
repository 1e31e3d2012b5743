"""Fixtures for all tests: a small demo set, tools run in this process, and catalogs left as they were."""

import runpy
import sys
from pathlib import Path

import pytest

from kfashion_d2.data import convert_dataset, make_demo_data

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory):
    """A converted folder with the splits train (24 images) and val (8), which no test changes."""
    folder = tmp_path_factory.mktemp("demo")
    make_demo_data(folder / "data", num_train=24, num_val=8, seed=0)
    convert_dataset(folder / "data", folder / "store", workers=1)
    return folder / "store"


@pytest.fixture
def run_tool(monkeypatch):
    """A function that runs a tool in this process, given its name and its command line's words."""

    def run_tool(name, *words):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        # It would take the package's logs away from the tests that read them.
        monkeypatch.setattr("detectron2.utils.logger.setup_logger", lambda **kwargs: None)
        runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")

    return run_tool


@pytest.fixture
def clean_catalogs():
    """Take the K-Fashion splits that a test registered out of Detectron2's catalogs again."""
    from detectron2.data import DatasetCatalog, MetadataCatalog

    yield
    for name in [name for name in DatasetCatalog.list() if name.startswith("kfashion_")]:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
