import numpy as np
import pytest
from PIL import Image

from kfashion_d2.data import KFashionDataset, convert_dataset
from tests.data.annotations import with_id, write


def named(number, name):
    return with_id(number, **{"이미지 파일명": name})


@pytest.fixture
def splits(tmp_path):
    """Two splits whose images share looks, contents and pictures; 60 x 100 pixels each."""
    names = {
        "Training": {
            1: "AB_001_01.jpg",
            2: "AB_001_02.JPG",
            3: "AB_002_01.jpg",
            4: "x.jpg",
            5: "x.jpg",
            9: "AB_01.jpg",
        },
        "Validation": {6: "AB_001_09.jpg", 7: "y.jpg", 8: "z.jpg"},
    }
    for folder, rows in names.items():
        for number, name in rows.items():
            write(tmp_path / "data", f"{folder}/{number}.json", named(number, name))
    convert_dataset(tmp_path / "data", tmp_path / "store")
    datasets = [KFashionDataset(tmp_path / "store" / name) for name in ("train", "val")]
    rng = np.random.default_rng(0)
    coarse = {record["image_id"]: rng.integers(0, 256, (5, 3, 3), np.uint8) for d in datasets for record in d}
    coarse[7] = coarse[4]  # the same file in both splits
    coarse[8] = coarse[3]  # nearly the same picture, saved with another quality
    for dataset in datasets:
        for record in dataset:
            image = Image.fromarray(coarse[record["image_id"]]).resize((60, 100), Image.Resampling.BICUBIC)
            image.save(record["file_name"], quality=80 if record["image_id"] == 8 else 95)
    return datasets
