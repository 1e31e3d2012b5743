"""What the formats share: the split in its class mode, attributes in words, files that appear when complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson
from tqdm import tqdm

from ...schema import UNKNOWN, AttributeSchema
from ..store import KFashionDataset

CLASSES = "category_or_part"  # a garment of unknown category has a class too


def require_classes(dataset: KFashionDataset) -> None:
    """
    Raises:
        ValueError: the split was opened in another class mode.
    """
    if dataset.classes != CLASSES:
        raise ValueError(f"classes={dataset.classes!r}: open the split with classes={CLASSES!r} to export it")


def iter_images(dataset: KFashionDataset, desc: str) -> Iterator[dict[str, Any]]:
    """The dataset dicts, with a bar."""
    for index in tqdm(range(len(dataset)), unit=" images", desc=desc, disable=len(dataset) < 10_000):
        yield dataset[index]


def relative_name(dataset: KFashionDataset, file_name: str) -> str:
    """An image's name relative to the image root, with forward slashes; as it is where it does not lie there."""
    root = dataset.image_root + os.sep
    return file_name[len(root) :].replace(os.sep, "/") if file_name.startswith(root) else file_name


def attributes_in_words(anno: dict[str, Any], schema: AttributeSchema) -> dict[str, Any]:
    """Group -> label, or list of labels; None: unknown, []: known to have none; no key: not applicable."""
    words: dict[str, Any] = {}
    for group in schema.groups:
        value = anno["attributes"].get(group.name)
        if value is None:
            continue
        if group.is_single:
            words[group.name] = None if value == UNKNOWN else group.labels[value].name
        else:
            words[group.name] = None if UNKNOWN in value else [group.labels[i].name for i in value]
    return words


def area(anno: dict[str, Any]) -> float:
    """Of the polygon, or of the box where there is no sound one; square pixels."""
    if not anno["mask_valid"]:
        return anno["bbox"][2] * anno["bbox"][3]
    xs, ys = anno["segmentation"][0][0::2], anno["segmentation"][0][1::2]
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2


@contextmanager
def new_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_object(path: str | Path, values: dict[str, Any | Callable[[], Iterable[Any]]]) -> None:
    """A JSON object; where a value is a function, the list of what it yields is written as it comes."""
    with new_file(path) as file:
        for number, (key, value) in enumerate(values.items()):
            file.write((b",\n" if number else b"{\n") + orjson.dumps(key) + b": ")
            if callable(value):
                file.write(b"[")
                for place, item in enumerate(value()):
                    file.write((b",\n" if place else b"\n") + orjson.dumps(item))
                file.write(b"]")
            else:
                file.write(orjson.dumps(value))
        file.write(b"}\n")
