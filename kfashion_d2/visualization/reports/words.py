"""This module gives the words of all reports in English and Korean, which korean.yaml has."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["words"]


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
