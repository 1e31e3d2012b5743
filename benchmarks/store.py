"""Measure the time and the memory to open and read a split, in one process, in loader workers and as COCO JSON."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from tabulate import tabulate

from kfashion_d2.data.formats.coco import export_coco
from kfashion_d2.data.store.dataset import KFashionDataset
from kfashion_d2.data.store.writer import select_rows, write_split
from kfashion_d2.data.store.zip_handler import register_zip_handler

from .processes import process_memory, run_alone

__all__ = ["store_table"]

LOADER_WORKERS = 8
READS = 200_000


def store_table(split: Path, num_coco: int, folder: Path) -> str:
    """
    Measure a split, and return the tables.

    Args:
        split: the folder of a converted split.
        num_coco: images of it that are written as COCO JSON too; 0: none.
        folder: where that file goes.
    """
    dataset = KFashionDataset(split)
    size = sum(path.stat().st_size for path in split.iterdir()) / 2**20
    (seconds, added), _ = run_alone(_open, split)
    rows = [
        [f"open {len(dataset):,} images and read one dict", f"{seconds * 1e3:.1f} ms"],
        ["memory added by it", f"{added:.1f} MiB"],
    ]
    at_random, resident = run_alone(_read, split)[0]
    rows += [
        [f"a dict by index, at random, {min(READS, len(dataset)):,} of them", f"{at_random * 1e6:.1f} µs"],
        ["memory added by it, without the mapped files", f"{resident:.1f} MiB"],
    ]
    alike, _, _ = run_alone(_load, split, False)[0]
    private, mapped, shared = run_alone(_load, split, True)[0]
    rows += [
        [
            f"the store's files ({size:,.0f} MiB), mapped by each of {LOADER_WORKERS} loader workers",
            f"{mapped:,.0f} MiB",
        ],
        ["the same, all workers together", f"{shared:,.0f} MiB"],
        ["private memory of a worker that read its part at random", f"{private:.1f} MiB"],
        ["the same, where all read the first image only", f"{alike:.1f} MiB"],
    ]
    table = tabulate(rows, tablefmt="simple")
    return table + "\n\n" + _coco_table(dataset, min(num_coco, len(dataset)), folder) if num_coco else table


def _open(split: Path) -> tuple[float, float]:
    register_zip_handler()  # Detectron2's part, which a program that trains has loaded
    before = process_memory(os.getpid())["Rss"]
    start = time.perf_counter()
    KFashionDataset(split)[0]
    return time.perf_counter() - start, process_memory(os.getpid())["Rss"] - before


def _read(split: Path) -> tuple[float, float]:
    dataset = KFashionDataset(split)
    order = np.random.default_rng(0).permutation(len(dataset))[:READS].tolist()
    before = process_memory(os.getpid())["Anonymous"]
    for row in order[:20_000]:
        dataset[row]  # every shard is mapped
    seconds = []
    for _ in range(3):
        start = time.process_time()
        for row in order:
            dataset[row]
        seconds.append((time.process_time() - start) / len(order))
    return statistics.median(seconds), process_memory(os.getpid())["Anonymous"] - before


class _Reads:
    """This dataset reads a dict and gives its image's id alone, which is all that travels to the loader's parent."""

    def __init__(self, dataset: KFashionDataset, rows: list[int]):
        self.dataset, self.rows = dataset, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> int:
        return self.dataset[self.rows[position]]["image_id"]


def _load(split: Path, everywhere: bool) -> tuple[float, float, float]:
    """
    Read images in the workers of a data loader.

    Args:
        everywhere: whether images are read at random; else the first one is, as often.

    Returns:
        Of the loader's workers, MiB: private to one; of the store's files, mapped by one, and by all together.
    """
    from torch.utils.data import DataLoader

    warnings.filterwarnings("ignore", message="This DataLoader will create")  # eight are asked about, on any machine
    dataset = KFashionDataset(split)
    rows = np.random.default_rng(0).permutation(len(dataset))[:READS] * everywhere
    loader = DataLoader(
        _Reads(dataset, rows.tolist()),
        batch_size=64,
        num_workers=LOADER_WORKERS,
        collate_fn=sum,
        persistent_workers=True,
    )
    assert sum(loader) == int(dataset.image_ids[rows].sum())
    pids = [process.pid or 0 for process in multiprocessing.active_children()]
    assert len(pids) == LOADER_WORKERS
    private = [process_memory(pid)["Private_Dirty"] for pid in pids]
    mapped = [process_memory(pid, file="smaps", only=str(split)) for pid in pids]
    return (
        statistics.median(private),
        statistics.median(one.get("Rss", 0) for one in mapped),
        sum(one.get("Pss", 0) for one in mapped),
    )


def _coco_table(dataset: KFashionDataset, num: int, folder: Path) -> str:
    """Measure Detectron2's own reader on a COCO file of the first images, beside a split of the same ones."""
    keep = np.arange(len(dataset)) < num
    split, coco_file = folder / "first" / "train", folder / "first.json"
    write_split(split, select_rows([dataset], keep), dataset.meta, dataset.image_root)
    export_coco(KFashionDataset(split, "category_or_part"), coco_file)
    size = coco_file.stat().st_size / 2**20
    rows = []
    for name, function, path in (
        (f"COCO JSON ({size:,.0f} MiB), load_coco_json", _load_coco, coco_file),
        ("the store, opened", _open, split),
    ):
        seconds, added = run_alone(function, path)[0]
        rows.append([name, f"{seconds:.3f}", f"{added:,.1f}"])
    return tabulate(rows, headers=[f"{num:,} images", "seconds", "MiB"], tablefmt="simple", disable_numparse=True)


def _load_coco(path: Path) -> tuple[float, float]:
    from detectron2.data.datasets import load_coco_json

    before = process_memory(os.getpid())["Rss"]
    start = time.perf_counter()
    records = load_coco_json(str(path), str(path.parent), extra_annotation_keys=["part", "attributes", "mask_valid"])
    seconds = time.perf_counter() - start
    assert records
    return seconds, process_memory(os.getpid())["Rss"] - before
