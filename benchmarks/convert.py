"""
Measure conversion from zip archives and from files against its floor (read, inflate and parse, nothing else), with its
memory; the store, opened and read, beside the same as COCO JSON; and images out of an archive beside plain files.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tabulate import tabulate

from kfashion_d2.data.conversion.convert import convert_dataset
from kfashion_d2.data.sources.discovery import find_sources
from kfashion_d2.data.sources.zip_index import read_zip_index
from kfashion_d2.data.store.zip_reader import EntryLocation, read_at, read_zip_uri, zip_uri
from kfashion_d2.utils.files import garbage_collector_off

from .archive import make_archive
from .processes import run_alone

__all__ = ["add_arguments", "run"]

SOURCES = ("zips", "files", "both")  # both: archives beside what was unpacked from them, each annotation twice
HEADER = [
    "source",
    "annotations",
    "workers",
    "a second",
    "CPU µs each",
    "floor, CPU µs",
    "floor / CPU",
    "MiB, main process",
    "MiB, a worker",
    "MiB, all",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num", type=int, nargs="+", default=[20_000], help="annotations (default: 20000)")
    parser.add_argument(
        "--sources", nargs="+", choices=SOURCES, default=["zips", "files"], help="(default: zips files)"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="numbers of processes to try")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, interleaved with the floor (default: 3)")
    parser.add_argument("--coco", type=int, default=50_000, help="images of the COCO JSON; 0: none (default: 50000)")
    parser.add_argument("--folder", help="where to write the archives and the stores (default: a temporary folder)")


def run(args: argparse.Namespace) -> str:
    """Measure all of it, and return the tables."""
    from .store import store_table  # with it comes torch, which a conversion does without

    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        rows, size = [], 0.0
        store = folder / "store"
        for source in args.sources:
            datas = {}
            for num in args.num:
                datas[num] = folder / f"{source}-{num}"
                size = make_archive(datas[num], num, packed=source != "files")
                if source == "both":
                    for archive in sorted(datas[num].rglob("*.zip")):
                        shutil.unpack_archive(archive, archive.with_suffix(""))
            rows += _conversions(source, datas, store, args.workers, args.repeats)
            for num, data in datas.items():
                if num != max(args.num) or source != args.sources[-1]:
                    shutil.rmtree(data)
        text = f"annotations of {size:,.0f} bytes; medians of {args.repeats} runs\n\n"
        text += tabulate(rows, headers=HEADER, floatfmt=",.2f", intfmt=",")
        text += "\n\n" + store_table(store / str(max(args.num)) / "train", args.coco, folder)
        return text + "\n\n" + _images(folder)


def _conversions(source: str, datas: dict[int, Path], store: Path, workers: list[int], repeats: int) -> list[list]:
    """Measure each number of annotations with each number of workers, in turns, and return a row for each pair."""
    copies = 2 if source == "both" else 1
    measured: dict[tuple[int, int], list[tuple]] = {(num, count): [] for num in datas for count in workers}
    for _ in range(repeats):
        for (num, count), repeats_of_pair in measured.items():
            floor = _floor(datas[num])
            (wall, cpu), peak = run_alone(_convert, datas[num], store / str(num), count)
            total = num * copies
            repeats_of_pair.append((total / wall, cpu / total * 1e6, floor / total * 1e6, floor / cpu, *peak))
    return [
        [source, num * copies, count, *(statistics.median(values) for values in zip(*repeats_of_pair, strict=True))]
        for (num, count), repeats_of_pair in measured.items()
    ]


def _convert(data: Path, store: Path, workers: int) -> tuple[float, float]:
    """
    Convert, and return the seconds by the clock and of CPU, the workers' included; what loads once is loaded before.
    """
    with tempfile.TemporaryDirectory() as temporary:
        make_archive(Path(temporary, "data"), 10, templates=10)
        convert_dataset(Path(temporary, "data"), Path(temporary, "store"))
    cpu = _cpu()
    wall = _timed(lambda: convert_dataset(data, store, workers=workers))
    return wall, _cpu() - cpu


def _floor(data: Path) -> float:
    """Read, inflate and parse every annotation in the order of conversion, and return the CPU seconds that it took."""
    index = find_sources(data)
    (rows, _), fds = index.splits["train"], [os.open(data / archive.path, os.O_RDONLY) for archive in index.archives]
    labels = index.labels.take(rows)
    numbers = labels.numbers.tolist()
    with garbage_collector_off():
        start = time.process_time()
        for path, (number, offset, compressed_size, size, method, _) in zip(labels.paths, numbers, strict=True):
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


def _timed(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _images(folder: Path, count: int = 2000, size: int = 60_000) -> str:
    """Read images of a usual size out of an archive and the same ones as files, both from the page cache."""
    rng = np.random.default_rng(0)
    content = [rng.bytes(size) for _ in range(count)]
    images = folder / "images"
    images.mkdir()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for i, data in enumerate(content):
            (images / f"{i}.jpg").write_bytes(data)
            archive.writestr(f"{i}.jpg", data)
    stat = (folder / "images.zip").stat()
    uris = [
        zip_uri(
            str(folder / "images.zip"),
            entry.name,
            EntryLocation(*entry[1:5], stat.st_size, stat.st_mtime_ns),
        )
        for entry in read_zip_index(folder / "images.zip")
    ]
    paths = [str(images / f"{i}.jpg") for i in range(count)]

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
