"""This module has what the formats share: the split in its class mode, and attributes in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from tqdm import tqdm

from ...schema import UNKNOWN, AttributeSchema, Label
from ...utils.files import new_file
from ..store.dataset import KFashionDataset

CLASSES = "category_or_part"  # a garment of unknown category has a class too


def require_classes(dataset: KFashionDataset) -> None:
    """
    Refuse a split that was opened in another class mode than a format needs.

    Raises:
        ValueError: the split was opened in another class mode.
    """
    if dataset.classes != CLASSES:
        raise ValueError(f"classes={dataset.classes!r}: open the split with classes={CLASSES!r} to export it")


def named_classes(dataset: KFashionDataset) -> list[tuple[Label, str]]:
    """List every class with the name of its part."""
    schema = dataset.schema
    parts = [schema.parts.labels[i].name for i in schema.class_parts(dataset.classes)]
    return list(zip(schema.thing_classes(dataset.classes), parts, strict=True))


def iter_images(dataset: KFashionDataset, desc: str) -> Iterator[dict[str, Any]]:
    """Yield the dataset dicts, with a progress bar."""
    for index in tqdm(range(len(dataset)), unit=" images", desc=desc, disable=len(dataset) < 10_000):
        yield dataset[index]


def trained_annotations(image: dict[str, Any]) -> list[dict[str, Any]]:
    """List the annotations of an image that are no crowd regions, for formats that have no place for those."""
    return [anno for anno in image["annotations"] if not anno["iscrowd"]]


def relative_name(dataset: KFashionDataset, file_name: str) -> str:
    """Return an image's name relative to the image root, with forward slashes; as it is where it does not lie there."""
    root = dataset.image_root + os.sep
    return file_name[len(root) :].replace(os.sep, "/") if file_name.startswith(root) else file_name


def attributes_in_words(anno: dict[str, Any], schema: AttributeSchema) -> dict[str, Any]:
    """
    Say a garment's attributes in words: group -> label, or list of labels; None: unknown, []: known to have none; no
    key: not applicable.
    """
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


def write_object(path: str | Path, values: dict[str, Any | Callable[[], Iterable[Any]]]) -> None:
    """Write a JSON object; where a value is a function, the list of what it yields is written as it comes."""
    with new_file(path) as file:
        for number, (key, value) in enumerate(values.items()):
            file.write((b",\n" if number else b"{\n") + orjson.dumps(key) + b": ")
            if callable(value):
                file.write(b"[")
                for position, item in enumerate(value()):
                    file.write((b",\n" if position else b"\n") + orjson.dumps(item))
                file.write(b"]")
            else:
                file.write(orjson.dumps(value))
        file.write(b"}\n")
