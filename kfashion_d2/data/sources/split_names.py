"""This module tells from the names of folders and archives which split they hold: train, val or test."""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

__all__ = [
    "BY_DATA_ROOT",
    "BY_DEFAULT",
    "BY_IMAGE",
    "BY_OPTION",
    "SplitDecision",
    "decide_split",
    "looks_like_split",
    "split_named",
]

BY_NAME = "the name of a folder or archive"
BY_NEAREST = "the nearest of names that contradict each other"
BY_IMAGE = "the name of the image's folder"
BY_DATA_ROOT = "the name of the data's folder"
BY_OPTION = "--split, where no name says it"
BY_DEFAULT = "nothing: no name says it"

WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
KOREAN_WORDS = {
    **dict.fromkeys(("학습", "훈련", "트레이닝", "트레인"), "train"),
    **dict.fromkeys(("검증", "밸리데이션", "발리데이션"), "val"),
    **dict.fromkeys(("시험", "평가", "테스트"), "test"),
}
UNSURE = frozenset({"dev", "eval", "evaluation", "holdout", "trainval", "minival", "valtest", "query", "gallery"})
_CONTENT = "(?:set|sets|data|dataset|image|images|img|imgs|label|labels|json|jsons|jpg|photo|photos)?"
_ENGLISH = re.compile(rf"({'|'.join(sorted(WORDS, key=len, reverse=True))}){_CONTENT}")
_KOREAN = re.compile(
    rf"(?:라벨링|라벨|원천|이미지)?({'|'.join(KOREAN_WORDS)})용?"
    "(?:데이터|데이터셋|데이터세트|셋|세트|자료|이미지|사진|라벨|라벨링|라벨링데이터|원천|원천데이터)?"
)
_TOKEN = re.compile(r"[a-z]+|[\uac00-\ud7a3]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
FOR_LEARNING = frozenset({"인공지능", "ai"})  # "AI 학습용 데이터" is what all of AI Hub is called


class SplitDecision(NamedTuple):
    """
    A decision says which split a folder's files belong to, and why.

    Attributes:
        split: its name.
        rule: the rule that decided, for people.
        name: the name that says it; "" where none does.
    """

    split: str
    rule: str
    name: str

    @property
    def is_named(self) -> bool:
        """Say whether a folder or archive on the way to the files names the split."""
        return self.rule in (BY_NAME, BY_NEAREST)


def _tokens(name: str) -> list[str]:
    text = unicodedata.normalize("NFKC", name)
    if text.lower().endswith(".zip"):
        text = text[:-4]
    return _TOKEN.findall(_CAMEL.sub(" ", text).lower())


@lru_cache(maxsize=1 << 14)
def _splits_named(name: str) -> frozenset[str]:
    tokens = _tokens(name)
    splits = {WORDS[match[1]] for token in tokens if (match := _ENGLISH.fullmatch(token))}
    if not FOR_LEARNING.intersection(tokens):
        splits |= {KOREAN_WORDS[match[1]] for token in tokens if (match := _KOREAN.fullmatch(token))}
    return frozenset(splits)


def split_named(name: str) -> str | None:
    """
    Return the split that the name of a folder or archive says, or None: numbered ("1.Training"), with something before
    or after it ("train_images", "Validation_라벨링데이터.zip"), in English or Korean. A name of two splits says none.
    """
    splits = _splits_named(name)
    return next(iter(splits)) if len(splits) == 1 else None


@lru_cache(maxsize=1 << 14)
def looks_like_split(name: str) -> bool:
    """Say whether a name that says no split looks as if it were meant to: "trainval", "dev", "Vaildation"."""
    if len(_splits_named(name)) == 1:
        return False
    return bool(_splits_named(name)) or any(
        token in UNSURE or (token.isascii() and len(token) > 4 and get_close_matches(token, WORDS, n=1, cutoff=0.84))
        for token in _tokens(name)
    )


def decide_split(path: str, default: SplitDecision) -> SplitDecision:
    """
    Decide the split of a folder or archive by the nearest name on its path that says one.

    Args:
        path: relative to the data's root.
        default: for a path on which no name says anything.
    """
    named = [(split, name) for name in reversed(path.split("/")) if (split := split_named(name))]
    if not named:
        return default
    split, name = named[0]
    return SplitDecision(split, BY_NEAREST if {other for other, _ in named} != {split} else BY_NAME, name)
