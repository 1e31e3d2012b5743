import pytest

from kfashion_d2.data import KFashionDataset, convert_dataset
from tests.data.annotations import annotation, with_id, write


@pytest.fixture
def dataset(demo_store):
    return KFashionDataset(demo_store / "train", "category_or_part")


@pytest.fixture
def states(tmp_path):
    """A top with everything known, one of unknown category, trousers, and an image without a garment."""
    write(tmp_path / "data", "5.json", with_id(5))
    write(tmp_path / "data", "30.json", with_id(30, labels={"색상": "레드"}, polygons={}))
    write(tmp_path / "data", "31.json", with_id(31, part="하의", labels={"카테고리": "팬츠"}))
    write(tmp_path / "data", "200.json", annotation(rects={}, polygons={}, labels={}, **{"이미지 식별자": 200}))
    convert_dataset(tmp_path / "data", tmp_path / "store")
    return KFashionDataset(tmp_path / "store/train", "category_or_part")
