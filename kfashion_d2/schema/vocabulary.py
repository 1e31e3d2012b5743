"""This module has the names of the vocabulary: one label, and one group of labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from .text import normalize_text

UNKNOWN = -1
NONE_NAME = "none"


class Label(str):
    """
    A label *is* its English name (a ``str``), so it compares, sorts, formats and serialises as one.

    Attributes:
        name (str): the English name.
        korean (str): the Korean name; the English one where a schema gives none.
    """

    __slots__ = ("korean",)
    korean: str

    def __new__(cls, name: str, korean: str | None = None) -> Label:
        self = super().__new__(cls, name)
        self.korean = korean or name
        return self

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return str(self), self.korean

    @property
    def name(self) -> str:
        return str(self)

    def text(self, language: str = "en") -> str:
        """Return the name in ``"en"`` or ``"ko"``."""
        return self.korean if language == "ko" else str(self)


# The answer of a single-label group whose best score stays below its threshold; no schema has such a label.
UNSURE = Label("unsure", "불확실")


class LabelIndex:
    """An index has labels in their order, and every accepted Korean spelling of them."""

    def __init__(self, labels: Iterable[Label], aliases: Mapping[str, str] | None = None, where: str = "labels"):
        """
        Index labels and their spellings.

        Args:
            labels: the labels; a label's id is its place.
            aliases: other spelling -> Korean name of a label.
            where: what to name in an error.

        Raises:
            ValueError: a name stands twice or is "unsure", or an alias leads nowhere or already means another label.
        """
        self.labels = tuple(labels)
        if UNSURE in self.labels:
            raise ValueError(
                f"{where}: {UNSURE.name!r} is what a prediction says that is none of the labels; rename it"
            )
        self._by_name = {label.name: i for i, label in enumerate(self.labels)}
        self._by_key = {normalize_text(label.korean): i for i, label in enumerate(self.labels)}
        if len(self._by_name) != len(self.labels) or len(self._by_key) != len(self.labels):
            raise ValueError(f"{where}: a label stands twice in {[label.name for label in self.labels]}")
        for alias, target in (aliases or {}).items():
            index = self._by_key.get(normalize_text(target))
            if index is None:
                raise ValueError(f"{where}: alias {alias!r} leads to {target!r}, which is not a label")
            if self._by_key.setdefault(normalize_text(alias), index) != index:
                raise ValueError(f"{where}: alias {alias!r} already means another label")
        # The exact spellings first: nearly every value of a real file is one of them, and skips the folding.
        self._exact = {label.korean: i for i, label in enumerate(self.labels)}

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def spellings(self) -> dict[str, int]:
        """Return every accepted Korean spelling -> the label's id."""
        return {**self._by_key, **self._exact}

    def find(self, text: str) -> int | None:
        """Return the id of a Korean spelling, aliases included, or None."""
        index = self._exact.get(text)
        return self._by_key.get(normalize_text(text)) if index is None else index

    def index(self, name: str) -> int:
        """
        Return the id of an English name.

        Raises:
            ValueError: there is no such label; the message lists those that exist.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise ValueError(f"no label {name!r}; choose from {', '.join(self._by_name)}") from None


@dataclass(frozen=True)
class AttributeGroup:
    """
    A group is one attribute: its labels and what the absence of a value means. See the header of ``kfashion.yaml``.

    Attributes:
        name, korean: the group's English name, and its key in the JSON files.
        kind: "single" or "multi".
        index_of: the labels; ``none``, where the group has it, comes last.
        tier: "A" or "B".
        absent: "unknown" or "none".
        part_labels: part -> ids of the labels that can occur there; a part that is not a key: not applicable.
        korean_keys: every normalised spelling of the JSON key.
        guideline: normalised values that the guideline names and the data lacks.
    """

    name: str
    korean: str
    kind: str
    index_of: LabelIndex = field(compare=False, repr=False)
    tier: str
    absent: str
    part_labels: Mapping[str, tuple[int, ...]]
    korean_keys: frozenset[str] = frozenset()
    guideline: frozenset[str] = frozenset()

    @property
    def labels(self) -> tuple[Label, ...]:
        return self.index_of.labels

    @property
    def num_labels(self) -> int:
        return len(self.index_of)

    @property
    def is_single(self) -> bool:
        return self.kind == "single"

    @cached_property
    def none_index(self) -> int | None:
        """Return the id of the ``none`` label, or None where "known to have none" cannot be said."""
        has_none = self.is_single and self.num_labels > 0 and self.labels[-1].name == NONE_NAME
        return self.num_labels - 1 if has_none else None

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.part_labels)

    def text(self, language: str = "en") -> str:
        """Return the group's name for people, in ``"en"`` or ``"ko"``."""
        return self.korean if language == "ko" else self.name.replace("_", " ")

    def find(self, text: str) -> int | None:
        """Return the id of a Korean value, or None. ``none`` is not a value that a file can hold."""
        index = self.index_of.find(text)
        return None if index is not None and index == self.none_index else index

    def replace(self, **changes) -> AttributeGroup:
        return replace(self, **changes)
