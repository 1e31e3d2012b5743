"""This module turns the labels of one garment, as a file has them, into the attributes of the data contract."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from ...schema import UNKNOWN, AttributeGroup, AttributeSchema, normalize_text

__all__ = ["find_value", "opened", "parse_category", "parse_labels"]

MOST_LAYERS = 3  # of JSON inside JSON
Note = tuple[str, str, str, Any]  # key, reason, action, value


def find_value(entry: Any, key: str) -> Any:
    """Return the value of a key, spelt in any way that folds to it; None where there is none."""
    if not isinstance(entry, dict):
        return None
    if key in entry:
        return entry[key]
    folded = normalize_text(key)
    return next((value for name, value in entry.items() if normalize_text(name) == folded), None)


def opened(value: Any) -> Any:
    """Return what a text holds that is a JSON object or list itself; any other value as it is."""
    for _ in range(MOST_LAYERS):
        if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value


def is_given(value: Any) -> bool:
    """Say whether a label's value says anything: an empty list or text says as much as a missing key."""
    waiting = [value]  # no recursion: a file may nest deeper than Python's stack
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif normalize_text(value) if isinstance(value, str) else value is not None and value != {}:
            return True
    return False


def parse_category(labels: dict[str, Any], part: str, schema: AttributeSchema, notes: list[Note]) -> int:
    """Return the category's id, or -1 where it is not given, unheard of, or of another part."""
    key = schema.keys["category"]
    value = find_value(labels, key)
    if not is_given(value):
        return UNKNOWN
    category = schema.categories.find(value) if isinstance(value, str) else None
    if category is None:
        notes.append((key, "unknown value" if isinstance(value, str) else "wrong type", "repaired", value))
        return UNKNOWN
    if schema.parts.labels[schema.category_parts[category]] != part:
        notes.append((key, "category of another part", "repaired", value))
        return UNKNOWN
    return category


def parse_labels(
    labels: dict[str, Any], part: str, schema: AttributeSchema, notes: list[Note]
) -> dict[str, int | list[int]]:
    """
    Return the groups that apply to the part: a single group's id or -1; a multi group's ids, [] (none) or [-1]
    (unknown).

    "Absent means none" holds only where the group's tier was labelled at all.

    Args:
        labels: the garment's entry under 라벨링.
        part: the part's English name.
        notes: gets (key, reason, action, value) of everything that is not as it should be.
    """
    known_keys = {normalize_text(schema.keys["category"])}
    labelled = {tier: _is_labelled(labels, schema.keys[f"tier_{tier}"], schema) for tier in ("A", "B")}
    category = find_value(labels, schema.keys["tier_B"])
    has_category = isinstance(category, str) and is_given(category)  # be it one that nobody has heard of
    by_key = {normalize_text(name): (name, value) for name, value in labels.items()}
    attributes: dict[str, int | list[int]] = {}
    for group in schema.groups:
        known_keys |= group.korean_keys
        spellings = [by_key[key] for key in _key_order(group.korean, group.korean_keys) if key in by_key]
        spellings = [entry for entry in spellings if is_given(entry[1])] or spellings
        key, value = spellings[0] if spellings else (group.korean, None)
        notes += [(other, "key given twice", "noted", ignored) for other, ignored in spellings[1:]]
        given = is_given(value)
        if part not in group.part_labels:
            if given:
                notes.append((key, "value of a group that does not apply to the part", "noted", value))
            continue
        if given and group.tier == "B" and not has_category:
            notes.append((key, "expert value without a category", "noted", value))
        if given:
            ids = _known_ids(group, part, key, value, notes)
            attributes[group.name] = (ids or [UNKNOWN]) if not group.is_single else (ids[0] if ids else UNKNOWN)
        elif group.absent == "none" and labelled[group.tier]:
            attributes[group.name] = [] if group.none_index is None else group.none_index
        else:
            attributes[group.name] = UNKNOWN if group.is_single else [UNKNOWN]
    for folded, (name, value) in by_key.items():
        if folded not in known_keys:
            notes.append((name, "unknown key", "noted", value))
    return attributes


def _is_labelled(labels: dict[str, Any], key: str, schema: AttributeSchema) -> bool:
    """
    Say whether a tier was labelled, by the value of its key. One that nobody has heard of does not show it: a script
    that renames categories is no expert, and the groups that it leaves out are not known to be none.
    """
    value = find_value(labels, key)
    if not isinstance(value, str) or not is_given(value):
        return False
    if key == schema.keys["category"]:
        return schema.categories.find(value) is not None
    folded = normalize_text(key)
    groups = [group for group in schema.groups if folded in group.korean_keys]
    return any(group.find(value) is not None or normalize_text(value) in group.guideline for group in groups)


@lru_cache
def _key_order(korean: str, keys: frozenset[str]) -> tuple[str, ...]:
    """Sort a group's own key before its aliases."""
    own_key = normalize_text(korean)
    return tuple(sorted(keys, key=lambda key: (key != own_key, key)))


def _known_ids(group: AttributeGroup, part: str, key: str, value: Any, notes: list[Note]) -> list[int]:
    """Return the ids that a given value stands for, ascending; of a single group at most one."""
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) == group.is_single:
        notes.append((key, "wrong type", "repaired", value))
        if group.is_single and len(values) > 1:
            return []  # one of several cannot be chosen
    ids = set()
    for item in values:
        index = group.find(item) if isinstance(item, str) else None
        if index is not None:
            ids.add(index)
            if index not in group.part_labels[part]:
                notes.append((key, "value unusual for the part", "noted", item))
        elif not isinstance(item, str):
            notes.append((key, "wrong type", "repaired", item))
        else:
            guideline = normalize_text(item) in group.guideline
            notes.append((key, "guideline-only value" if guideline else "unknown value", "repaired", item))
    return sorted(ids)
