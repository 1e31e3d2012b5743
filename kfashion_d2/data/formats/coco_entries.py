"""
This module reads the entries of COCO files, of whatever tool, as records of the store. What can be mended is mended by
rule and noted; what cannot is an error that names file, id, key and remedy.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

from ...schema import UNKNOWN, AttributeSchema, normalize_text
from ..annotation.parser import Problem
from ..store.zip_reader import PREFIX
from .coco_geometry import is_crowd, resolve_box_and_polygon
from .coco_values import image_size, label_id, text, whole_number, whole_or_none

__all__ = ["CocoFile", "CocoRecords", "read_coco_file"]

_NAMES = Path(__file__).with_name("coco_names.yaml")
_ENCODINGS = ("utf-8-sig", "cp949")


class CocoFile(NamedTuple):
    """
    This is a COCO file as it was read, with its entries by their ids.

    Attributes:
        path: of the file, for messages.
        info: its `info`; {} where that is no object.
        images: the entries of the images, by id.
        garments: image id -> the entries of its annotations; ids that no image has are among them.
        categories: category id -> (id in the vocabulary or UNKNOWN, part); a name that the vocabulary lacks stands
            there as text, and is refused where an annotation has it.
    """

    path: Path
    info: dict[str, Any]
    images: dict[int, dict[str, Any]]
    garments: dict[int, list[dict[str, Any]]]
    categories: dict[int, tuple[int, str] | str]


def read_coco_file(path: Path, schema: AttributeSchema) -> CocoFile:
    """
    Read a COCO file as a whole. UTF-8 with or without its mark, UTF-16 and cp949 are understood, and NaN.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no COCO file; the message says where.
    """
    content = _parse(path)
    lists = {}
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f"{path} is not a COCO file: it has no list {key!r}")
        lists[key] = content[key]
        for number, entry in enumerate(content[key]):
            if not isinstance(entry, dict):
                raise ValueError(f"{path} is not a COCO file: {key}[{number}] is {entry!r}, not an object")
    images: dict[int, dict[str, Any]] = {}
    for number, entry in enumerate(lists["images"]):
        image_id = whole_number(entry, "id", 2**63, f"{path}, images[{number}]")
        if image_id in images:
            raise ValueError(f"{path}: the image id {image_id} stands twice; give every image an id of its own")
        images[image_id] = entry
    names = _category_names(schema)
    categories: dict[int, tuple[int, str] | str] = {}
    for number, entry in enumerate(lists["categories"]):
        where = f"{path}, categories[{number}]"
        name = text(entry, "name", where)
        categories[whole_number(entry, "id", 2**63, where)] = names.get(name) or names.get(_key(name)) or name
    garments: dict[int, list[dict[str, Any]]] = {}
    for number, entry in enumerate(lists["annotations"]):
        where = f"{path}, annotation {entry['id']}" if "id" in entry else f"{path}, annotations[{number}]"
        garments.setdefault(whole_number(entry, "image_id", 2**63, where), []).append(entry)
    info = content.get("info")
    return CocoFile(path, info if isinstance(info, dict) else {}, images, garments, categories)


def _parse(path: Path) -> Any:
    data = path.read_bytes()
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass  # a byte order mark, another encoding, NaN, or no JSON
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else _ENCODINGS
    for encoding in encodings:
        try:
            return json.loads(data.decode(encoding))
        except UnicodeDecodeError:
            continue
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is not a COCO file: it is no JSON ({error})") from None
    raise ValueError(f"{path} is not a COCO file: it is no text in {' or '.join(encodings)}")


def _key(name: str) -> str:
    return re.sub(r"[-_]", "", normalize_text(name))


def _category_names(schema: AttributeSchema) -> dict[str, tuple[int, str]]:
    """
    Return every spelling of a category's name -> (id, part): English, Korean, other people's, and parts' names.

    "other top" is a top of unknown category, and so is a part's name that is no category ("outer").
    """
    names: dict[str, tuple[int, str]] = {}
    for index, label in enumerate(schema.categories.labels):
        names[label.name] = index, schema.parts.labels[schema.category_parts[index]].name
    categories = dict(names)
    for name, value in categories.items():
        names.setdefault(_key(name), value)
        names.setdefault(_key(schema.categories.labels[value[0]].korean), value)
    for part in schema.parts.labels:
        for name in (f"other {part.name}", part.name):
            names.setdefault(name, (UNKNOWN, part.name))
            names.setdefault(_key(name), (UNKNOWN, part.name))
    for alias, name in yaml.safe_load(_NAMES.read_text(encoding="utf-8")).items():
        if name in categories:
            names.setdefault(_key(alias), categories[name])
    return names


class CocoRecords:
    """
    This iterator gives the records of a COCO file, and collects what was mended or dropped.

    Attributes:
        problems (list): (the entry, as in "annotation 7" or "image 5"; :class:`Problem`).
        num_dropped (dict): of `images` and `garments`.
    """

    def __init__(self, coco: CocoFile, schema: AttributeSchema, root: str):
        self.coco = coco
        self.schema = schema
        self.root = root
        self.problems: list[tuple[str, Problem]] = []
        self.num_dropped = {"images": 0, "garments": 0}

    @property
    def has_crowd(self) -> bool:
        """Say whether any annotation is a crowd region."""
        return any(is_crowd(anno) for annos in self.coco.garments.values() for anno in annos)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for image_id, image in self.coco.images.items():
            record = self._record(image_id, image)
            if record is not None:
                yield record
        for image_id in sorted(self.coco.garments.keys() - self.coco.images.keys()):
            for anno in self.coco.garments[image_id]:
                self._drop(anno, "", "image not listed", image_id)

    def _drop(self, anno: dict[str, Any], part: str, reason: str, value: Any = None) -> None:
        self.num_dropped["garments"] += 1
        self.problems.append((f"annotation {anno.get('id')}", Problem(part, "", reason, "dropped", value)))

    def _record(self, image_id: int, image: dict[str, Any]) -> dict[str, Any] | None:
        where = f"{self.coco.path}, image {image_id}"
        garments = self.coco.garments.get(image_id, [])
        width, height = (image_size(image, key, where) for key in ("width", "height"))
        if not width or not height:
            self.num_dropped["images"] += 1
            self.problems.append(
                (f"image {image_id}", Problem("", "width, height", "no image size", "dropped", [width, height]))
            )
            for anno in garments:
                self._drop(anno, "", "image dropped")
            return None
        styles = {}
        for key in ("style", "sub_style"):
            value = image.get(key)
            styles[key] = UNKNOWN if value in (None, UNKNOWN) else label_id(self.schema.styles.index, value, key, where)
        annos = [self._annotation(anno, row, width, height, where) for row, anno in enumerate(garments)]
        return {
            "image_id": image_id,
            "file_name": self._file_name(image, image_id, where),
            "height": height,
            "width": width,
            **styles,
            **{
                key: text(image, key, where) if image.get(key) else ""
                for key in ("label_file", "original_file_name", "created")
            },
            "annotations": [anno for anno in annos if anno is not None],
        }

    def _file_name(self, image: dict[str, Any], image_id: int, where: str) -> str:
        """Return a path relative to the root; the separators of Windows are understood."""
        name = text(image, "file_name", where)
        if name.startswith(PREFIX):
            return name
        if "\\" in name and not os.path.isfile(os.path.join(self.root, name)):
            name = name.replace("\\", "/")
        if os.path.isabs(name):
            name = os.path.relpath(name, self.root).replace(os.sep, "/")
        if not os.path.isfile(os.path.join(self.root, name)):
            problem = Problem("", "file_name", "image not found", "noted", name)
            self.problems.append((f"image {image_id}", problem))
        return name

    def _annotation(self, anno: dict[str, Any], row: int, width: int, height: int, where: str) -> dict[str, Any] | None:
        where = f"{where}, annotation {anno.get('id', f'number {row + 1}')}"
        if "category_id" not in anno:
            raise ValueError(f"{where}: the key 'category_id' is missing; add it, or remove the annotation")
        number = whole_or_none(anno["category_id"])
        category = None if number is None else self.coco.categories.get(number)
        if category is None:
            self._drop(anno, "", "category not listed", anno["category_id"])
            return None
        if isinstance(category, str):
            choices = ", ".join(label.name for label in self.schema.categories.labels)
            raise ValueError(
                f"{where}: category_id {number} is {category!r}, which is no category; rename it under 'categories' to "
                f"one of {choices}, or give a vocabulary that has it (--schema)"
            )
        category_id, part = category
        if "part" in anno:
            part = text(anno, "part", where)
            label_id(self.schema.parts.index, part, "part", where)
        entry = f"annotation {anno.get('id')}"

        def note(key: str, reason: str, action: str = "repaired", value: Any = None) -> None:
            self.problems.append((entry, Problem(part, key, reason, action, value)))

        bbox, ring = resolve_box_and_polygon(anno, width, height, where, note)
        if bbox is None:
            self._drop(anno, part, "no geometry")
            return None
        return {
            "part": part,
            "index": whole_number(anno, "index", 2**31, where) if "index" in anno else row,
            "category_id": category_id,
            "bbox": bbox,
            "segmentation": [ring],
            "mask_valid": ring is not None,
            "iscrowd": int(is_crowd(anno)),
            "attributes": _attributes(anno.get("attributes"), part, self.schema, where),
        }


def _attributes(words: Any, part: str, schema: AttributeSchema, where: str) -> dict[str, int | list[int]]:
    """Return local label ids from names; without `attributes` the groups that apply to the part are unknown."""
    if not isinstance(words, (dict, type(None))):
        raise ValueError(f"{where}: attributes {words!r} are no object; give names by group, or leave them out")
    result: dict[str, int | list[int]] = {}
    for group in schema.groups:
        key = f"attributes, {group.name}"
        if words is None and part in group.parts:
            result[group.name] = UNKNOWN if group.is_single else [UNKNOWN]
        elif words is not None and group.name in words:
            value = words[group.name]
            if group.is_single:
                result[group.name] = UNKNOWN if value is None else label_id(group.index_of.index, value, key, where)
            elif value is None:
                result[group.name] = [UNKNOWN]
            elif isinstance(value, list):
                result[group.name] = [label_id(group.index_of.index, name, key, where) for name in value]
            else:
                raise ValueError(f"{where}: {key}: {value!r} is no list; give a list of names, or null for unknown")
    return result
