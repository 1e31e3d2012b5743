"""
This module has the vocabulary as an object: groups of labels, their columns in a label row, and the row's codec.

Shapes: L labels in all groups together. A row is a (L,) vector over all of them; every group owns a slice of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .loading import read_schema_file
from .vocabulary import UNKNOWN, UNSURE, AttributeGroup, Label, LabelIndex

__all__ = ["CLASS_MODES", "AttributeSchema", "kfashion_schema"]

CLASS_MODES = ("category", "part", "category_or_part")
CATEGORY_GROUP = "category"

_YAML = Path(__file__).with_name("kfashion.yaml")


class AttributeSchema:
    """
    A schema is an ordered list of attribute groups with the categories, parts and styles around them. It is immutable.

    Attributes:
        name, version: from the file.
        groups (tuple[AttributeGroup]): in the order of their columns.
        parts, categories, styles (LabelIndex): the garment parts, the categories and the image styles.
        category_parts (tuple[int]): for every category, the id of its part.
    """

    def __init__(
        self,
        *,
        name: str,
        version: int,
        groups: Sequence[AttributeGroup],
        parts: LabelIndex,
        categories: LabelIndex,
        category_parts: Sequence[int],
        styles: LabelIndex,
        keys: Mapping[str, str],
    ):
        """
        Check the parts of a vocabulary and put them together.

        Args:
            keys: the JSON keys of what is not a group: "category", "style", "sub_style"; and those whose presence says
                that a tier was labelled: "tier_A", "tier_B".

        Raises:
            ValueError: two groups share a name.
        """
        self.name = name
        self.version = version
        self.groups = tuple(groups)
        self.parts = parts
        self.categories = categories
        self.category_parts = tuple(category_parts)
        self.styles = styles
        self.keys = dict(keys)
        self._by_name = {group.name: group for group in self.groups}
        if len(self._by_name) != len(self.groups):
            raise ValueError(f"a group stands twice in {[group.name for group in self.groups]}")
        ends = np.cumsum([0] + [group.num_labels for group in self.groups])
        self._slices = {g.name: slice(int(a), int(b)) for g, a, b in zip(self.groups, ends[:-1], ends[1:], strict=True)}
        self.num_labels = int(ends[-1])

    @classmethod
    def from_file(cls, path: str | Path) -> AttributeSchema:
        """
        Read a schema file; ``kfashion_d2/schema/kfashion.yaml`` is the example and documents the format.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a schema; the message names the file and the place.
        """
        return cls(**read_schema_file(Path(path)))

    @classmethod
    def from_config(cls, cfg: Any) -> AttributeSchema:
        """
        Return the schema that a config trains: ``DATASETS.KFASHION.{SCHEMA,CLASSES}``, ``ROI_ATTRIBUTE_HEAD.GROUPS``.
        """
        data = cfg.DATASETS.KFASHION
        schema = cls.from_file(data.SCHEMA) if data.SCHEMA else kfashion_schema()
        return schema.for_classes(data.CLASSES).subset(cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS)

    def with_groups(self, groups: Sequence[AttributeGroup]) -> AttributeSchema:
        """Return this schema with other attribute groups."""
        return AttributeSchema(
            name=self.name,
            version=self.version,
            groups=groups,
            parts=self.parts,
            categories=self.categories,
            category_parts=self.category_parts,
            styles=self.styles,
            keys=self.keys,
        )

    def subset(self, names: Sequence[str]) -> AttributeSchema:
        """
        Return the schema of some groups, in the order given; an empty list means all.

        Raises:
            ValueError: a name is not a group of this schema.
        """
        return self.with_groups([self.group(name) for name in names]) if names else self

    def for_classes(self, classes: str) -> AttributeSchema:
        """
        Return the schema that a class mode trains: with the parts as classes, the category becomes one more
        single-label group, the last one; otherwise the schema itself.

        Raises:
            ValueError: `classes` is not one of CLASS_MODES.
        """
        if classes not in CLASS_MODES:
            raise ValueError(f"classes={classes!r}: choose from {', '.join(CLASS_MODES)}")
        if classes != "part" or CATEGORY_GROUP in self._by_name:
            return self
        by_part = {
            part.name: tuple(i for i, p in enumerate(self.category_parts) if p == part_id)
            for part_id, part in enumerate(self.parts.labels)
        }
        category = AttributeGroup(
            name=CATEGORY_GROUP,
            korean=self.keys["category"],
            kind="single",
            index_of=self.categories,
            tier="B",
            absent="unknown",
            part_labels=by_part,
        )
        return self.with_groups([*self.groups, category])

    def thing_classes(self, classes: str) -> tuple[Label, ...]:
        """Return the detector's classes in a class mode, in the order of their ids."""
        self.for_classes(classes)  # refuses a mode that does not exist
        if classes == "part":
            return self.parts.labels
        if classes == "category":
            return self.categories.labels
        others = [Label(f"other {part.name}", f"기타 {part.korean}") for part in self.parts.labels]
        return (*self.categories.labels, *others)

    def class_parts(self, classes: str) -> tuple[int, ...]:
        """Return for every class of a class mode the id of its part."""
        parts = tuple(range(len(self.parts)))
        return {
            "part": parts,
            "category": self.category_parts,
            "category_or_part": (*self.category_parts, *parts),
        }[classes]

    @property
    def group_names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def group(self, name: str) -> AttributeGroup:
        """
        Return a group by its name.

        Raises:
            ValueError: there is no such group; the message lists those that exist.
        """
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(self._by_name)
            raise ValueError(f"no attribute group {name!r} in schema {self.name!r}; choose from {known}") from None

    def slice(self, name: str) -> slice:
        """Return the columns of a group in a row of L labels."""
        self.group(name)
        return self._slices[name]

    @cached_property
    def hash(self) -> str:
        """
        Return sixteen hexadecimal digits over all that gives an id its meaning (names and orders, kinds, parts). Korean
        names and aliases are left out: they decide how a file is read, not what an id means.
        """
        meaning = {
            "name": self.name,
            "version": self.version,
            "parts": self.parts.labels,
            "categories": [self.categories.labels, self.category_parts],
            "styles": self.styles.labels,
            "groups": [
                [g.name, g.kind, g.tier, g.absent, g.labels, {p: list(ids) for p, ids in g.part_labels.items()}]
                for g in self.groups
            ],
        }
        text = json.dumps(meaning, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def _content(self) -> tuple:
        """Return all that the schema says, spellings too, for comparisons."""
        indices = (self.parts, self.categories, self.styles, *(group.index_of for group in self.groups))
        groups = tuple((group.korean, group.korean_keys, group.guideline) for group in self.groups)
        return self.hash, self.keys, groups, tuple(index.spellings for index in indices)

    def __eq__(self, other: object) -> bool:
        """Compare by content: a schema file that is read twice gives equal schemas."""
        if not isinstance(other, AttributeSchema):
            return NotImplemented
        return self is other or self._content == other._content

    def __hash__(self) -> int:
        return hash(self.hash)

    @cached_property
    def applicable(self) -> np.ndarray:
        """Say whether a label's group applies to a part, for the P parts; bool (P, L)."""
        rows = np.zeros((len(self.parts), self.num_labels), dtype=bool)
        for group in self.groups:
            for part in group.parts:
                rows[self.parts.index(part), self.slice(group.name)] = True
        return rows

    @cached_property
    def possible(self) -> np.ndarray:
        """Say whether a label can occur on a part; all True where its group does not apply. bool (P, L)."""
        rows = ~self.applicable
        for group in self.groups:
            for part, ids in group.part_labels.items():
                rows[self.parts.index(part), self.slice(group.name).start + np.array(ids, dtype=int)] = True
        return rows

    def encode(self, attributes: Mapping[str, int | Sequence[int]], part: str) -> np.ndarray:
        """
        Turn a garment's attributes into a row of labels.

        Args:
            attributes: group -> local label id (single) or list of ids (multi); -1 or [-1]: unknown,
                []: known to have none. Groups of other schemas are ignored.
            part: the garment's part; groups that do not apply to it stay -1 whatever `attributes` says.

        Returns:
            int8 (L,): 1 yes, 0 no, -1 unknown or not applicable.

        Raises:
            ValueError: `part` or an id does not exist, or a value is not of its group's kind.
        """
        row = np.full(self.num_labels, UNKNOWN, dtype=np.int8)
        self.parts.index(part)
        for group in self.groups:
            if group.name not in attributes or part not in group.part_labels:
                continue
            value = attributes[group.name]
            if group.is_single != isinstance(value, (int, np.integer)) or isinstance(value, (bool, np.bool_)):
                raise ValueError(f"{group.name!r} is {group.kind}-label, but its value is {value!r}")
            ids: list[int] = [value] if group.is_single else list(value)  # type: ignore[arg-type, list-item]
            if UNKNOWN in ids:
                continue
            if any(not 0 <= i < group.num_labels for i in ids):
                raise ValueError(f"{group.name!r} has labels 0 to {group.num_labels - 1}, but its value is {value!r}")
            columns = row[self._slices[group.name]]
            columns[:] = 0
            columns[ids] = 1
        return row

    def decode(
        self, row: Any, threshold: float | Mapping[str, float] = 0.5, top_k: int = 1
    ) -> dict[str, list[tuple[Label, float]]]:
        """
        Say a row of scores in words.

        Args:
            row: float (L,): one row of ``pred_attributes``.
            threshold: the least score of a multi-label group's label; one number, or one for each group
                (0.5 where a group is not named). A single-label group that is named is "unsure" where its best
                label's score is below; one number is for multi-label groups alone.
            top_k: how many labels of a single-label group.

        Returns:
            dict: group -> [(label, score), ...], best first: the `top_k` best of a single-label group, all that
            reach the threshold of a multi-label one. An unsure group is UNSURE with its best label's score, and
            behind it the `top_k` best, if more than one is asked for. Groups that do not apply (their scores are all
            0) are left out, and, of a row that :meth:`encode` made, those that are unknown (-1).

        Raises:
            ValueError: `row` has another length than L.
        """
        scores = np.asarray(row, dtype=np.float64)
        if scores.shape != (self.num_labels,):
            raise ValueError(f"a row of schema {self.name!r} has {self.num_labels} scores, not shape {scores.shape}")
        result: dict[str, list[tuple[Label, float]]] = {}
        for group in self.groups:
            columns = scores[self._slices[group.name]]
            if not columns.any() or (columns < 0).any():
                continue
            order = np.argsort(-columns, kind="stable")
            default = 0.0 if group.is_single else 0.5
            if isinstance(threshold, Mapping):
                least = threshold.get(group.name, default)
            else:
                least = default if group.is_single else threshold
            best = columns[order[0]]
            if not group.is_single:
                order = order[columns[order] >= least]
            elif best >= least or top_k > 1:
                order = order[:top_k]
            else:
                order = order[:0]
            answers = [(group.labels[i], float(columns[i])) for i in order]
            unsure = [(UNSURE, float(best))] if group.is_single and best < least else []
            result[group.name] = unsure + answers
        return result


@cache
def kfashion_schema() -> AttributeSchema:
    """Return the vocabulary of AI Hub's K-Fashion set: ten groups, 174 labels, 21 categories, 23 styles."""
    return AttributeSchema.from_file(_YAML)
