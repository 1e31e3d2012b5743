import pytest

from kfashion_d2.data import KFashionDataset


@pytest.fixture
def dataset(demo_store):
    return KFashionDataset(demo_store / "train", "category_or_part")
