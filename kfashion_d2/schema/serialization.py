"""
This module turns a schema into plain values and back, for files that must explain themselves. Aliases of spellings stay
behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .attribute_schema import AttributeSchema
from .vocabulary import AttributeGroup, Label, LabelIndex

__all__ = ["schema_from_dict", "schema_to_dict"]


def _pairs(labels: Iterable[Label]) -> list[list[str]]:
    return [[label.name, label.korean] for label in labels]


def _labels(pairs: Iterable[Iterable[str]]) -> LabelIndex:
    return LabelIndex([Label(*pair) for pair in pairs])


def schema_to_dict(schema: AttributeSchema) -> dict[str, Any]:
    """
    Turn a schema into plain values.

    Returns:
        dict: fit for JSON; every label is an [English, Korean] pair, ``hash`` is the schema's own.
    """
    return {
        "name": schema.name,
        "version": schema.version,
        "hash": schema.hash,
        "groups": [
            {
                "name": group.name,
                "korean": group.korean,
                "kind": group.kind,
                "tier": group.tier,
                "absent": group.absent,
                "labels": _pairs(group.labels),
                "part_labels": {part: list(ids) for part, ids in group.part_labels.items()},
            }
            for group in schema.groups
        ],
        "parts": _pairs(schema.parts.labels),
        "categories": _pairs(schema.categories.labels),
        "category_parts": list(schema.category_parts),
        "styles": _pairs(schema.styles.labels),
        "keys": dict(schema.keys),
    }


def schema_from_dict(data: Mapping[str, Any]) -> AttributeSchema:
    """
    Read the schema that :func:`schema_to_dict` wrote; it has the same hash.

    Raises:
        ValueError: it is no such dict, or its content does not have the hash that it states.
    """
    try:
        groups = [
            AttributeGroup(
                name=group["name"],
                korean=group["korean"],
                kind=group["kind"],
                index_of=_labels(group["labels"]),
                tier=group["tier"],
                absent=group["absent"],
                part_labels={part: tuple(ids) for part, ids in group["part_labels"].items()},
            )
            for group in data["groups"]
        ]
        schema = AttributeSchema(
            name=data["name"],
            version=data["version"],
            groups=groups,
            parts=_labels(data["parts"]),
            categories=_labels(data["categories"]),
            category_parts=data["category_parts"],
            styles=_labels(data["styles"]),
            keys=data["keys"],
        )
        stated = data["hash"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a schema as schema_to_dict writes it: {error!r}") from error
    if schema.hash != stated:
        raise ValueError(f"the schema {schema.name!r} states hash {stated}, but its content has {schema.hash}")
    return schema
