import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from kfashion_d2.data import KFashionDataset, convert_dataset, load_data
from tests.data.annotations import rect, with_id, write
from tests.subprocesses import BLOCK

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    """Two tops, one of unknown category on a smaller image; red on the left half."""
    for split in ("Training", "Validation"):
        write(tmp_path / "data", f"{split}/5.json", with_id(5))
        small = {"이미지 너비": 90, "이미지 높이": 80}
        write(
            tmp_path / "data",
            f"{split}/30.json",
            with_id(30, labels={"색상": "레드"}, polygons={}, rects=rect(5, 6, 20, 30), **small),
        )
    convert_dataset(tmp_path / "data", tmp_path / "store")
    for record in [*KFashionDataset(tmp_path / "store/train"), *KFashionDataset(tmp_path / "store/val")]:
        pixels = np.zeros((record["height"], record["width"], 3), dtype=np.uint8)
        pixels[:, : record["width"] // 2, 0] = 255
        Image.fromarray(pixels).save(record["file_name"], quality=100, subsampling=0)
    return tmp_path / "store"


def test_a_batch(store):
    ((images, targets, ids),) = load_data(train=False, batch_size=2, data_root=store)
    assert (images.dtype, images.shape) == (torch.float32, (2, 3, 100, 90))
    assert ids == [5, 30]
    assert images[0, 0, 10, 5] > 0.98 and images[0, 1:, 10, 5].max() < 0.02 and images[0, :, 10, 55].max() < 0.02
    assert images[0, :, :, 60:].max() == images[1, :, 80:].max() == 0 and images[1, 0, 79, 5] > 0.98
    first, second = targets
    assert first["boxes"].tolist() == [[10.5, 20.5, 50.5, 80.5]]
    assert second["boxes"].tolist() == [[5, 6, 25, 36]]
    assert type(first["boxes"]) is torch.Tensor
    assert (first["labels"].tolist(), second["labels"].tolist()) == ([3], [22])  # t-shirt, other top
    assert first["parts"].tolist() == [0]
    schema = KFashionDataset(store / "val").schema
    red = schema.group("color").index_of.index("red")
    assert second["attributes"]["color"].tolist() == [red]
    assert second["attributes"]["neckline"].tolist() == [-1]  # no category, no tier B
    assert first["attributes"]["material"][0].nonzero().flatten().tolist() == [18]
    assert second["attributes"]["material"].unique().tolist() == [-1]
    assert first["attributes"]["detail"].unique().tolist() == [0]  # known to have none
    assert first["attributes"]["material"].dtype == torch.float32 and first["attributes"]["color"].dtype == torch.int64


def test_flips_boxes_with_pixels(store):
    loader = load_data(train=True, batch_size=1, data_root=store, transforms=v2.RandomHorizontalFlip(1.0))
    for image, (target,), (image_id,) in loader:
        width = image.shape[3]
        assert image[0, 0, 10, 5] < 0.02 and image[0, 0, 10, width - 5] > 0.98
        x0, x1 = {5: (10.5, 50.5), 30: (5, 25)}[image_id]
        assert target["boxes"][0, [0, 2]].tolist() == [width - x1, width - x0]


def test_training_shuffles_flips_half_and_ends_each_epoch_alike(store):
    loader = load_data(train=True, batch_size=2, data_root=store)
    torch.manual_seed(0)
    batches = [batch for _ in range(40) for batch in loader]
    assert {tuple(ids) for *_, ids in batches} == {(5, 30), (30, 5)}
    lefts = [t["boxes"][0, 0].item() for _, targets, _ in batches for t in targets if t["image_id"] == 30]
    assert set(lefts) == {5, 65} and 10 < lefts.count(5) < 30
    assert all("boxes" in target and "image_id" in target for _, targets, _ in batches for target in targets)


def test_class_modes(store):
    by_part = next(iter(load_data(False, 2, data_root=store, classes="part")))[1]
    assert [t["labels"].tolist() for t in by_part] == [[1], [1]]
    assert [t["attributes"]["category"].tolist() for t in by_part] == [[2], [-1]]
    by_category = next(iter(load_data(False, 2, data_root=store, classes="category")))[1]
    assert [t["labels"].tolist() for t in by_category] == [[3], []]
    assert by_category[1]["boxes"].shape == (0, 4) and by_category[1]["attributes"]["color"].shape == (0,)
    assert by_category[1]["attributes"]["material"].shape == (0, 25)


def test_a_broken_image_is_named_or_skipped(store, caplog):
    broken = Path(KFashionDataset(store / "train")[0]["file_name"])
    broken.write_bytes(b"no image")
    with caplog.at_level("WARNING"):
        ((_, _, ids),) = load_data(True, 2, data_root=store)
    assert ids == [30, 30] and str(broken) in caplog.text
    Path(KFashionDataset(store / "val")[1]["file_name"]).unlink()
    with pytest.raises(ValueError, match=r"30\.jpg.*--check-images"):
        list(load_data(False, 2, data_root=store))


def test_the_documented_example_runs_without_detectron2(demo_store):
    text = (ROOT / "docs" / "data.md").read_text("utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "load_data(" in block)
    code = BLOCK.format(blocked=["detectron2"]) + code.replace("datasets/kfashion", str(demo_store))
    code = code.replace("num_workers=4", "num_workers=1")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"torch\.Size\(\[8, 3, \d+, \d+\]\)", done.stdout)
    assert re.search(r"^\d+ [a-z -]+ \[[\d., ]+\] [a-z ]+ \[.*\]$", done.stdout, re.M)
