"""This module gives the words of all reports in English and Korean, which korean.yaml has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["translation", "words"]

_FIELD = re.compile(r"\\{(\w+)\\}")  # a place in braces, in an escaped text


@cache
def _korean() -> dict[tuple[str, str], str]:
    """Read English words and their context -> Korean words."""
    entries = yaml.safe_load((Path(__file__).parent / "korean.yaml").read_text("utf-8"))
    return {(entry["en"], entry.get("context", "")): entry["ko"] for entry in entries}


def words(english: str, context: str = "", **values: Any) -> tuple[str, str]:
    """
    Give words of a report in English and in Korean.

    Args:
        english: as korean.yaml has it.
        context: which of several meanings, as "count" for the number of garments.
        values: for the places in braces; a pair of texts has one for each language.

    Raises:
        KeyError: korean.yaml has no such words.
    """
    korean = _korean()[english, context]
    if not values:
        return english, korean
    first, second = (
        text.format(**{name: value[i] if isinstance(value, tuple) else value for name, value in values.items()})
        for i, text in enumerate((english, korean))
    )
    return first, second


@cache
def translation(english: str) -> tuple[str, str]:
    """
    Give a text of an analysis in English and in Korean; in English twice where korean.yaml lacks it. Its entries of the
    context "analysis" are such texts, whole or with places in braces that were filled in.
    """
    for (known, context), korean in _korean().items():
        if context == "analysis":
            match = re.fullmatch(_FIELD.sub(r"(?P<\1>.+?)", re.escape(known)), english)
            if match:
                return english, korean.format(**match.groupdict())
    return english, english
