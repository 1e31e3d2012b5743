"""What reads and writes splits beside the converter, on images that lie in zip archives."""

import json
import os
import zipfile
from pathlib import Path

import pytest
from detectron2.config import get_cfg
from torch.utils.data import DataLoader, Dataset

from kfashion_d2.config import add_kfashion_config
from kfashion_d2.data import KFashionDataset, convert_dataset, import_coco, load_data, make_demo_data, read_image_bytes
from kfashion_d2.data.formats import export_coco, export_fiftyone, export_yolo
from kfashion_d2.data.splits.resplit import check_leaks, resplit
from kfashion_d2.data.store import zip_reader
from kfashion_d2.data.store.zip_reader import PREFIX, ZipChangedError, parse_zip_uri


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


def test_an_image_is_one_read_and_an_archive_one_open_file(zipped, monkeypatch):
    dataset = KFashionDataset(zipped / "train")
    expected = [read_image_bytes(row["file_name"]) for row in dataset]
    zip_reader.close_archives()
    calls = []
    monkeypatch.setattr(os, "pread", lambda *args, pread=os.pread: calls.append("read") or pread(*args))
    monkeypatch.setattr(os, "open", lambda *args, open=os.open: calls.append("open") or open(*args))
    assert [read_image_bytes(row["file_name"]) for row in dataset] == expected
    assert calls.count("read") == len(dataset) == 10 and calls.count("open") == 1


class OpenArchives(Dataset):
    """A mapped dataset's shapes, and how often its process has the archive open then."""

    def __init__(self, dataset, archive):
        self.dataset, self.archive = dataset, archive

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        shape = tuple(self.dataset[index]["image"].shape)
        links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        return os.getpid(), shape, links.count(self.archive)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_stock_mapper_in_loader_workers(zipped, method):
    from detectron2.data import DatasetMapper
    from detectron2.data.common import MapDataset

    dataset = KFashionDataset(zipped / "train")
    archive = os.path.realpath(parse_zip_uri(dataset[0]["file_name"])[0])
    mapped = MapDataset(dataset, DatasetMapper(get_cfg(), is_train=False))
    expected = [tuple(mapped[i]["image"].shape) for i in range(len(mapped))]  # the parent has the archive open too
    loader = DataLoader(
        OpenArchives(mapped, archive), 5, num_workers=1, multiprocessing_context=method, collate_fn=list
    )
    found = [item for batch in loader for item in batch]
    assert [shape for _, shape, _ in found] == expected
    assert {count for _, _, count in found} == {1} and os.getpid() not in {pid for pid, *_ in found}


def test_training_stops_at_an_archive_that_changed(zipped, tmp_path):
    """It is not one broken image to be skipped."""
    from detectron2.data import DatasetMapper

    from kfashion_d2.data import AttributeDatasetMapper, SkipBrokenImages

    dataset = KFashionDataset(zipped / "train")
    archive = Path(parse_zip_uri(dataset[0]["file_name"])[0])
    stat = archive.stat()
    zip_reader.close_archives()
    os.utime(archive, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    try:
        cfg = get_cfg()
        add_kfashion_config(cfg)
        for mapper in (AttributeDatasetMapper(cfg, is_train=True), DatasetMapper(cfg, is_train=True)):
            with pytest.raises(ZipChangedError, match=r"changed since the conversion.*Convert the data again"):
                SkipBrokenImages(dataset, mapper)[0]
        with pytest.raises(ZipChangedError):
            next(iter(load_data(True, 2, data_root=zipped)))
    finally:
        os.utime(archive, ns=(stat.st_atime_ns, stat.st_mtime_ns))
