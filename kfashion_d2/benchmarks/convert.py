"""Conversion against its floor, opening, a dict by index, and images out of an archive against plain files."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
from tabulate import tabulate

from ..data.convert import convert_dataset
from ..data.sources import find_sources
from ..data.store import KFashionDataset
from ..data.zip_index import read_zip_index
from ..data.zip_reader import ZipPlace, read_at, read_zip_uri, zip_uri
from .archive import make_archive

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num", type=int, default=20_000, help="annotations (default: 20000)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="numbers of processes to try")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, interleaved (default: 3)")
    parser.add_argument("--folder", help="where to write the archive and the stores (default: a temporary folder)")
    parser.add_argument("--files", action="store_true", help="plain files in place of zip archives")


def run(args: argparse.Namespace) -> str:
    """The tables, as text."""
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        data, store = Path(temporary, "data"), Path(temporary, "store")
        size = make_archive(data, args.num, packed=not args.files)
        rows = []
        for workers in args.workers:
            floors, times, cpus = [], [], []
            for _ in range(args.repeats):
                floors.append(_floor(data))
                cpu = _cpu()
                times.append(_timed(lambda workers=workers: convert_dataset(data, store, workers=workers)))
                cpus.append(_cpu() - cpu)
            wall = statistics.median(times)
            rows.append(
                [
                    workers,
                    args.num / wall,
                    args.num / wall / workers,
                    statistics.median(cpus) / args.num * 1e6,
                    statistics.median(floors) / args.num * 1e6,
                    statistics.median(floor / cpu for floor, cpu in zip(floors, cpus, strict=True)),
                    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                    resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
                ]
            )
        header = [
            "workers",
            "annotations/s",
            "a worker",
            "CPU µs each",
            "floor, CPU µs",
            "floor / CPU",
            "MiB, main",
            "MiB, worker",
        ]
        where = "files" if args.files else "zips"
        text = f"{args.num:,} annotations of {size:,.0f} bytes in {where}, medians of {args.repeats}\n"
        text += tabulate(rows, headers=header, floatfmt=",.2f")
        return text + "\n\n" + _reading(store / "train") + "\n\n" + _images(Path(temporary))


def _floor(data: Path) -> float:
    """CPU seconds to read, inflate and parse every annotation in the order of conversion, and nothing else."""
    index = find_sources(data)
    (rows, _), fds = index.splits["train"], [os.open(data / archive.path, os.O_RDONLY) for archive in index.archives]
    labels = index.labels.take(rows)
    start = time.process_time()
    for path, (number, offset, compressed_size, size, method, _) in zip(
        labels.paths, labels.numbers.tolist(), strict=True
    ):
        if number < 0:
            with open(f"{data}/{path}", "rb", buffering=0) as file:
                content = file.read()
        else:
            content = read_at(fds[number], offset, compressed_size, size, method, path)
        with contextlib.suppress(orjson.JSONDecodeError):
            orjson.loads(content)
    seconds = time.process_time() - start
    for fd in fds:
        os.close(fd)
    return seconds


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _memory() -> float:
    """Private and shared pages of this process, MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _reading(split: Path) -> str:
    before = _memory()
    start = time.perf_counter()
    dataset = KFashionDataset(split)
    dataset[0]
    opened = time.perf_counter() - start
    order = np.random.default_rng(0).permutation(len(dataset))[:200_000].tolist()
    added = _memory() - before
    for row in order[:20_000]:
        dataset[row]  # every shard is mapped
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        for row in order:
            dataset[row]
        seconds.append((time.perf_counter() - start) / len(order))
    rows = [
        ["open and read one dict", f"{opened * 1e3:.1f} ms"],
        ["memory added by opening", f"{added:.1f} MiB"],
        [f"a dict by index, random, of {len(dataset):,}", f"{statistics.median(seconds) * 1e6:.1f} µs"],
        ["resident after all shards were read (mapped pages are shared)", f"{_memory() - before:.1f} MiB"],
    ]
    return tabulate(rows, tablefmt="simple")


def _images(folder: Path, count: int = 2000, size: int = 60_000) -> str:
    """Images of a usual size, stored in an archive, against the same as files; both from the page cache."""
    rng = np.random.default_rng(0)
    content = [rng.bytes(size) for _ in range(count)]
    place = folder / "images"
    place.mkdir()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for i, data in enumerate(content):
            (place / f"{i}.jpg").write_bytes(data)
            archive.writestr(f"{i}.jpg", data)
    stat = (folder / "images.zip").stat()
    uris = [
        zip_uri(
            str(folder / "images.zip"),
            entry.name,
            ZipPlace(*entry[1:5], stat.st_size, stat.st_mtime_ns),
        )
        for entry in read_zip_index(folder / "images.zip")
    ]
    paths = [str(place / f"{i}.jpg") for i in range(count)]

    def read_files() -> None:
        for path in paths:
            with open(path, "rb") as file:
                file.read()

    def read_zip() -> None:
        for uri in uris:
            read_zip_uri(uri)

    pairs = [(_timed(read_files), _timed(read_zip)) for _ in range(7)]
    rates = [count / statistics.median(times) for times in zip(*pairs, strict=True)]
    ratio = statistics.median(files / zipped for files, zipped in pairs)
    rows = [["files", f"{rates[0]:,.0f}/s"], ["archive", f"{rates[1]:,.0f}/s"], ["archive to files", f"{ratio:.2f}"]]
    return tabulate(rows, headers=[f"images of {size // 1000} KB read", ""], tablefmt="simple")
