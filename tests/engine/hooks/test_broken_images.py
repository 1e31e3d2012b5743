"""Broken images: skipped and counted in training, whatever loads them; an end to the evaluation."""

import json
import logging
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from PIL import Image

from kfashion_d2.data import AttributeDatasetMapper
from kfashion_d2.data.dataset_mapper import BrokenImageError
from kfashion_d2.engine import Trainer
from kfashion_d2.schema import kfashion_schema
from tests.engine.tiny_config import make_cfg


def png(width, height, rows, bits=8, color=2):
    """A PNG file of given header and compressed rows, right or wrong."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def faults(whole):
    """Bytes of broken files, from those of a sound JPEG."""
    return {
        "empty": b"",
        "text": b"<html>404</html>",
        "cut": whole[: len(whole) // 2],
        "header alone": whole[:20],
        "zeros": bytes(len(whole)),
        "bomb": png(60000, 60000, zlib.compress(b"")),
        "no pixels": png(0, 0, zlib.compress(b"")),
        "bad deflate": png(64, 64, b"not deflated"),
        "few rows": png(64, 64, zlib.compress(bytes(100))),
        "bad header": png(64, 64, zlib.compress(b""), bits=77),
        "gif header": b"GIF89a\x10\x00\x10\x00\xff",
        "tiff loop": b"II*\x00\x08\x00\x00\x00\x01\x00\x00\x01\x04\x00\xff\xff\xff\xff\x08\x00\x00\x00\x08\x00\x00\x00",
        "webp cut": b"RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00",
        "bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, -5, 10**9, 1, 24, 0, 0, 0, 0, 0, 0),
    }


@pytest.mark.parametrize("fault", list(faults(b"")))
def test_every_fault_is_a_broken_image(tmp_path, fault):
    good = tmp_path / "good.jpg"
    Image.fromarray(np.full((60, 40, 3), 90, np.uint8)).save(good)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(faults(good.read_bytes())[fault])
    mapper = AttributeDatasetMapper(False, schema=kfashion_schema(), augmentations=[], image_format="BGR")
    record = {"file_name": str(good), "image_id": 1, "height": 60, "width": 40}
    assert mapper(dict(record))["image"].shape == (3, 60, 40)
    with pytest.raises(BrokenImageError, match=r"bad\.jpg.*--check-images"):
        mapper({**record, "file_name": str(bad)})


def test_a_fault_of_ours_is_not_the_images(tmp_path):
    file = tmp_path / "good.jpg"
    Image.fromarray(np.zeros((60, 40, 3), np.uint8)).save(file)
    mapper = AttributeDatasetMapper(True, schema=kfashion_schema(), augmentations=[], image_format="BGR")
    record = {"file_name": str(file), "image_id": 1, "height": 60, "width": 40, "annotations": [{"part": "top"}]}
    with pytest.raises(KeyError, match="attributes"):
        mapper(record)


@pytest.fixture
def damaged_store(demo_store, tmp_path):
    """A copy of the demo in which a quarter of the training images, and one to validate on, are broken."""
    shutil.copytree(demo_store, tmp_path / "store")
    shutil.copytree(demo_store.parent / "data", tmp_path / "images")
    cfg = make_cfg(tmp_path / "store", tmp_path / "run", "DATASETS.KFASHION.IMAGE_ROOT", str(tmp_path / "images"))
    broken = {}
    for split, count in (("train", 6), ("val", 1)):
        records = [x for x in DatasetCatalog.get(f"kfashion_{split}") if x["annotations"]]
        broken[split] = sorted(x["file_name"] for x in records[:count])
        for name, data in zip(broken[split], faults(Path(broken[split][0]).read_bytes()).values(), strict=False):
            Path(name).write_bytes(data)
    return cfg, broken


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_skips_counts_and_tells_them(damaged_store, tmp_path, caplog, num_workers):
    cfg, broken = damaged_store
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.MAX_ITER, cfg.DATASETS.TEST = num_workers, 14, ()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    with caplog.at_level(logging.WARNING, logger="kfashion_d2"):
        trainer.train()  # 28 images: every broken one was drawn
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.json").read_text().splitlines()]
    assert [line["data/broken_images"] for line in lines if "data/broken_images" in line][-1] == 6
    message = caplog.records[-1].getMessage()
    assert message == f"6 images were broken, and others trained in their place: {', '.join(broken['train'])}"
    state = torch.load(tmp_path / "run/model_final.pth", weights_only=True)["trainer"]["hooks"]["CountBrokenImages"]
    assert state == {"names": broken["train"]}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_evaluation_stops_with_the_name(damaged_store, num_workers):
    cfg, broken = damaged_store
    cfg.DATALOADER.NUM_WORKERS = num_workers
    with pytest.raises(BrokenImageError, match=broken["val"][0]):
        Trainer.test(cfg, Trainer.build_model(cfg))
