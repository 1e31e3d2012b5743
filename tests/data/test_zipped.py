"""What reads and writes splits beside the converter, on images that lie in zip archives."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from kfashion_d2.data import KFashionDataset, convert_dataset, import_coco, load_data, make_demo_data, read_image_bytes
from kfashion_d2.data.export import export_coco, export_fiftyone, export_yolo
from kfashion_d2.data.splits import check_leaks, resplit
from kfashion_d2.data.zip_reader import PREFIX


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """The demo set with each split's labels and images in an archive of its own."""
    folder = tmp_path_factory.mktemp("zipped")
    make_demo_data(folder / "data", num_train=10, num_val=6, seed=0, dirt=False)
    for split in ("Training", "Validation"):
        for part in sorted((folder / "data" / split).iterdir()):
            with zipfile.ZipFile(folder / "data" / split / f"{part.name}.zip", "w") as archive:
                for path in sorted(part.rglob("*.*")):
                    archive.write(path, path.relative_to(part))
                    os.unlink(path)
    convert_dataset(folder / "data", folder / "store")
    return folder / "store"


def test_plain_pytorch(zipped):
    images, targets, ids = next(iter(load_data(False, 6, data_root=zipped)))
    assert len(images) == len(targets) == len(ids) == 6 and images.mean() > 0.1


def test_coco_there_and_back(zipped, tmp_path):
    dataset = KFashionDataset(zipped / "train", "category_or_part")
    assert dataset[0]["file_name"].startswith(PREFIX)
    import_coco(export_coco(dataset, tmp_path / "a.json"), tmp_path / "mine/train")
    back = KFashionDataset(tmp_path / "mine/train", "category_or_part")
    assert list(back) == list(dataset)
    assert export_coco(back, tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()


def test_yolo_unpacks(zipped, tmp_path):
    dataset = KFashionDataset(zipped / "val", "category_or_part")
    export_yolo(dataset, tmp_path)
    files = sorted((tmp_path / "images/val").iterdir())
    assert len(files) == 6 and all(path.read_bytes()[:2] == b"\xff\xd8" for path in files)


def test_splits_keep_their_images(zipped, tmp_path):
    datasets = [KFashionDataset(zipped / name) for name in ("train", "val")]
    resplit(datasets, tmp_path, {"train": 0.5, "val": 0.5})
    new = [KFashionDataset(tmp_path / name) for name in ("train", "val")]
    assert {r["image_id"]: r for d in new for r in d} == {r["image_id"]: r for d in datasets for r in d}
    assert not any(count for counts in check_leaks(new).values() for count in counts.values())
    assert Path(tmp_path / "train/meta.json").is_file()


def test_fiftyone_gets_files_that_it_can_open(zipped, tmp_path):
    dataset = KFashionDataset(zipped / "val", "category_or_part")
    for _ in range(2):  # again over the same folder
        export_fiftyone(dataset, tmp_path / "f")
    media = json.loads((tmp_path / "f/data.json").read_text("utf-8"))
    labels = json.loads((tmp_path / "f/labels.json").read_text("utf-8"))
    assert list(media) == list(labels["labels"]) == [str(row["image_id"]) for row in dataset]
    for row in dataset:
        assert Path(media[str(row["image_id"])]).read_bytes() == read_image_bytes(row["file_name"])
    assert len(list((tmp_path / "f/data").iterdir())) == len(dataset) == 6
