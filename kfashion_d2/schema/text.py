"""This module turns a spelling into a key that can be looked up."""

import re
import unicodedata
from functools import lru_cache

# Every Unicode space, and the invisible characters that copy and paste leaves behind.
_INVISIBLE = re.compile(r"[\s\u200b-\u200f\u2060\ufeff\u00ad]+")


@lru_cache(maxsize=1 << 14)  # the same few hundred texts come a million times
def normalize_text(text: str) -> str:
    """
    Fold what never matters in a K-Fashion name: NFD against NFC, full-width forms, case, and spaces of
    every kind, no-break ones and inner ones too ("헤어 니트" and "헤어니트" are one label).

    Args:
        text: a key or value as it stands in a JSON file, or a path's part.

    Returns:
        str: the key that all spellings share; empty when nothing visible is left.
    """
    if text.isascii() and text.isalnum():
        return text.casefold()
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()
