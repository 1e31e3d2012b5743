"""This module turns the bytes of a fuzzer into decisions, and decisions into broken annotations."""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeVar

from kfashion_d2.schema import kfashion_schema
from kfashion_d2.synthetic.demo import draw_example

__all__ = ["Choices", "base_annotations", "mutate", "mutate_annotation", "positions"]

T = TypeVar("T")

PARTS = ("아우터", "하의", "원피스", "상의")
TABLES = ("렉트좌표", "폴리곤좌표", "라벨링")
MAX_STEPS = 6


def nested(depth: int) -> list:
    """Make lists within lists."""
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


# What parsers stumble over: kinds of numbers, spellings, and JSON that only Python's own parser reads.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 160, 0.5, -0.0, 1e-9, 120.5, 1e7, -1e7, 1e308),
    *(float("nan"), float("inf"), 2**31, 2**63 - 1, 2**63, 2**64, 10**400),
    *("", " ", "\u00a0", "블랙", "티셔츠", " 노말 ", "하운즈\u00a0투스", "면", "7부소매", "X좌표1", "\0", "a\ud800"),
    *("스타일", "모던", unicodedata.normalize("NFD", "청바지"), "😀", "9999-12-31 00:00:00", "x" * 5000),
    *([], {}, [[]], [{}], [{}, {}], [None], ["무지", "무지"], {"스타일": "모던"}, {"X좌표1": 1, "Y좌표1": 2}),
    *(nested(900), nested(1020)),
)


class Choices:
    """This object makes decisions from bytes; when they are used up, each decision is the first."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        """Say whether any byte is left."""
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes, or what is left of them."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def rest(self) -> bytes:
        """Return all bytes that are left."""
        return self.take(len(self._data))

    def below(self, count: int) -> int:
        """Choose a number from 0 to `count` - 1."""
        return int.from_bytes(self.take(1 if count <= 256 else 4), "little") % count

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]


@cache
def base_annotations() -> tuple[dict[str, Any], ...]:
    """Draw annotations of the demo set, some with its faults; they are not to be changed."""
    schema = kfashion_schema()
    return tuple(
        draw_example(3, 0, i, image_size=(160, 120), with_faults=i > 3, with_image=False, schema=schema).annotation
        for i in range(10)
    )


def positions(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield every path in a JSON value, the value's own first."""
    waiting = [(value, path)]
    while waiting:
        value, path = waiting.pop()
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting += [(item, (*path, key)) for key, item in items]


def _at(obj: Any, path: tuple) -> Any:
    for key in path:
        obj = obj[key]
    return obj


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except RecursionError:  # one of the deep ones above
        return nested(900)


def _respelt(key: str, choices: Choices) -> str:
    decomposed = unicodedata.normalize("NFD", key)
    return choices.pick((f"{key} ", decomposed, f"\u00a0{key}", key.upper(), f"{key}x", key[:-1]))


def mutate_annotation(choices: Choices) -> Any:
    """Mutate one of :func:`base_annotations`."""
    return mutate(choices.pick(base_annotations()), choices)


def mutate(base: Any, choices: Choices) -> Any:
    """Return a copy of a JSON value with a few positions set, removed, doubled, respelt or taken from elsewhere."""
    obj = copy.deepcopy(base)
    for _ in range(choices.below(MAX_STEPS)):
        paths = [path for path in positions(obj) if path and len(path) < 20]
        if not paths:
            break
        path = choices.pick(paths)
        parent, key = _at(obj, path[:-1]), path[-1]
        action = choices.below(5)
        if action == 0:
            parent[key] = _copied(choices.pick(VALUES))
        elif action == 1:
            del parent[key]
        elif action == 2:
            parent[key] = _copied(_at(obj, choices.pick(paths)))
        elif action == 3:
            parent[key] = choices.take(choices.below(12)).decode("latin-1")
        elif isinstance(parent, list):
            parent.append(_copied(parent[key]))
        else:
            parent[_respelt(key, choices)] = parent[key] if choices.below(2) else parent.pop(key)
    return obj
