"""One small demo set for all tests: drawn, converted, never changed."""

import pytest

from kfashion_d2.data import convert_dataset, make_demo_data


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory):
    """A converted folder with the splits train (24 images) and val (8)."""
    folder = tmp_path_factory.mktemp("demo")
    make_demo_data(folder / "data", num_train=24, num_val=8, seed=0)
    convert_dataset(folder / "data", folder / "store", workers=1)
    return folder / "store"
