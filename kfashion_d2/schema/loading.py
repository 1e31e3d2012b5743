"""This module reads a schema file. Mistakes in it are the user's: each names the file and the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .text import normalize_text
from .vocabulary import AttributeGroup, Label, LabelIndex


def _labels(entries: Any, where: str) -> list[Label]:
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{where}: expected a list of 'English: 한국어' entries, not {entries!r}")
    labels = []
    for entry in entries:
        if isinstance(entry, str):
            labels.append(Label(entry))
        elif isinstance(entry, dict) and len(entry) == 1:
            name, korean = next(iter(entry.items()))
            labels.append(Label(str(name), str(korean)))
        else:
            raise ValueError(f"{where}: expected one 'English: 한국어' pair, not {entry!r}")
    return labels


def _choice(entry: dict, key: str, choices: tuple[str, ...], where: str) -> str:
    value = entry.get(key)
    if value not in choices:
        raise ValueError(f"{where}: {key} is {value!r}; choose from {', '.join(choices)}")
    return value


def _group(entry: dict, parts: LabelIndex, where: str) -> AttributeGroup:
    name = str(entry.get("name"))
    where = f"{where}, group {name!r}"
    kind = _choice(entry, "kind", ("single", "multi"), where)
    absent = _choice(entry, "absent", ("unknown", "none"), where)
    labels = _labels(entry.get("labels"), where)
    if "none" in entry:
        if kind == "multi":
            raise ValueError(f"{where}: a multi-label group says none by an empty list and has no none label")
        labels += _labels([entry["none"]], where)
    elif kind == "single" and absent == "none":
        raise ValueError(f"{where}: absent: none needs a label for it, as in 'none: {{none: 없음}}'")
    index_of = LabelIndex(labels, entry.get("aliases"), where)
    none_ids = (len(labels) - 1,) if "none" in entry else ()
    part_labels = {}
    for part, values in (entry.get("parts") or {p.name: [] for p in parts.labels}).items():
        parts.index(part)
        ids = [index_of.find(str(value)) for value in values] if values else list(range(len(labels)))
        for value, index in zip(values, ids, strict=False):  # without values, all labels: nothing to refuse
            if index is None:
                raise ValueError(f"{where}, part {part!r}: {value!r} is not a label")
        part_labels[part] = tuple(sorted({*ids, *none_ids}))  # type: ignore[type-var]
    korean = str(entry.get("korean", name))
    return AttributeGroup(
        name=name,
        korean=korean,
        kind=kind,
        index_of=index_of,
        tier=_choice(entry, "tier", ("A", "B"), where),
        absent=absent,
        part_labels=part_labels,
        korean_keys=frozenset(normalize_text(str(k)) for k in [korean, *entry.get("korean_aliases", [])]),
        guideline=frozenset(normalize_text(str(value)) for value in entry.get("guideline", [])),
    )


def read_schema_file(path: Path) -> dict[str, Any]:
    """
    Parse a schema file into the arguments of ``AttributeSchema``.

    Raises:
        FileNotFoundError, ValueError: as ``AttributeSchema.from_file`` says.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no schema file {path}; leave DATASETS.KFASHION.SCHEMA empty for K-Fashion's own")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a YAML file: {error}") from error
    try:
        parts = LabelIndex(_labels(data["parts"], f"{path}: parts"), where=f"{path}: parts")
        category, style = data["category"], data["style"]
        by_part = {part: _labels(category["labels"][part.name], f"{path}: category") for part in parts.labels}
        categories = [label for labels in by_part.values() for label in labels]
        return {
            "name": str(data["name"]),
            "version": int(data["version"]),
            "groups": [_group(entry, parts, str(path)) for entry in data["groups"]],
            "parts": parts,
            "categories": LabelIndex(categories, category.get("aliases"), f"{path}: category"),
            "category_parts": [parts.index(part) for part, labels in by_part.items() for _ in labels],
            "styles": LabelIndex(_labels(style["labels"], f"{path}: style"), style.get("aliases"), f"{path}: style"),
            "keys": {
                "category": str(category.get("korean", "category")),
                "style": str(style.get("korean", "style")),
                "sub_style": str(style.get("korean_sub", "sub_style")),
                **{f"tier_{tier}": str(key) for tier, key in data["tiers"].items()},
            },
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a schema: {error!r}; see kfashion_d2/schema/kfashion.yaml for the format"
        ) from error
