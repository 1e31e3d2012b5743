"""
This module drops annotations that share an id within a split and names those shared between splits. A download that was
unpacked and left beside its archives has a million of them, so all is done by columns, a shard at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...utils.arrays import equals_neighbour, group_slices
from ...utils.files import write_file
from ..annotation.parser import Problem
from ..sources.source_index import Note
from ..store.schema import FILE_FIELDS
from ..store.writer import write_table
from .problem_lines import problem_line
from .shard import ShardConverter, ShardResult

__all__ = ["RefusedError", "SharedIds", "drop_duplicates", "equal_rows"]

BLOCK = 4096  # rows of one split that are compared at a time
OPEN_SHARDS = 8  # of a split; all of them would fill the memory with the whole of it


class RefusedError(ValueError):
    """With `strict`, the first problem ends the conversion; the message says where it is."""


class _Rows:
    """
    These are the rows of a split's shards, by their number in the split.

    Attributes:
        ids: int64 (N,), the image ids.
        shards: int64 (N,), ascending: each row's shard.
        local: int64 (N,): its position there.
        table: shard -> its columns, mapped.
    """

    def __init__(self, converter: ShardConverter, results: list[ShardResult]):
        self._converter = converter
        self.table = lru_cache(OPEN_SHARDS)(self._open)
        ids = [self.table(result.number)["image_id"].to_numpy() for result in results]
        counts = [len(part) for part in ids]
        self.ids = np.concatenate(ids)
        self.shards = np.repeat(np.arange(len(ids)), counts)
        self.local = np.arange(len(self.ids)) - np.repeat(np.cumsum([0, *counts[:-1]]), counts)

    def _open(self, shard: int) -> pa.Table:
        with pa.memory_map(str(self._converter.paths(shard)[0])) as source:
            return pa.ipc.open_file(source).read_all()

    @property
    def content_columns(self) -> list[str]:
        """Return the columns that an annotation's content gives, whatever file it is in."""
        return [name for name in self.table(0).column_names if name not in FILE_FIELDS]

    @cached_property
    def order(self) -> np.ndarray:
        """Sort the rows by id, those of one id by their number; int64 (N,)."""
        return np.argsort(self.ids, kind="stable")

    def take(self, rows: np.ndarray, columns: list[str]) -> pa.Table:
        """Read any rows; in memory is what they hold, not the shards they come from."""
        order = np.argsort(self.shards[rows], kind="stable")
        parts = [
            self.table(shard).select(columns).take(pa.array(self.local[rows[order[in_shard]]]))
            for shard, in_shard in group_slices(self.shards[rows[order]])
        ]
        return pa.concat_tables(parts).combine_chunks().take(pa.array(np.argsort(order)))


def drop_duplicates(split: str, converter: ShardConverter, results: list[ShardResult], strict: bool) -> None:
    """
    Keep of annotations with one id the one made last (파일 생성일자), and the first of those made at one time. The
    shards of the others are written anew, with what was dropped among their problems, each line with the file that was
    kept.

    Args:
        split: its name.
        converter, results: of the split; the results follow.
        strict: raise in place of dropping one.

    Raises:
        RefusedError: with `strict`.
    """
    rows = _Rows(converter, results)
    losers, keepers = _losers(rows)
    is_same = _have_equal_content(rows, losers, rows, keepers)  # of all, before any shard is written anew
    kept_labels = rows.take(keepers, ["label_file"])["label_file"].combine_chunks() if len(keepers) else pa.array([])
    for shard, in_shard in group_slices(rows.shards[losers]):
        dropped = losers[in_shard]
        table = rows.take(dropped, ["label_file", "part"])
        lines = []
        for label, parts, image_id, same, kept_label in zip(
            table["label_file"].to_pylist(),
            table["part"].to_pylist(),
            rows.ids[dropped].tolist(),
            is_same[in_shard].tolist(),
            kept_labels[in_shard].to_pylist(),
            strict=True,
        ):
            reason = "duplicate id" if same else "duplicate id, other content"
            if strict:
                raise RefusedError(f"{label}: {reason} (이미지 식별자), value {image_id}")
            problems = [Problem("", "이미지 식별자", reason, "dropped", image_id)]
            for part in parts:
                name = converter.schema.parts.labels[part].name
                problems.append(Problem(name, "", "annotation dropped", "dropped"))
            for problem in problems:
                results[shard].count_problem(problem)
                lines.append(problem_line(split, label, problem, kept=kept_label))
            results[shard].counts.update(
                images_out=-1, annotations_dropped=1, garments_out=-len(parts), garments_dropped=len(parts)
            )
        keep = np.ones(len(rows.table(shard)), dtype=bool)
        keep[rows.local[dropped]] = False
        arrow_file, problem_file, mark = converter.paths(shard)
        mark.unlink(missing_ok=True)  # killed from here on, this shard is made again
        write_file(problem_file, problem_file.read_bytes() + "".join(lines).encode())
        results[shard].sha256 = write_table(arrow_file, rows.table(shard).filter(pa.array(keep)))


def _losers(rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows that go, ascending, and for each the row of its id that stays."""
    shared = rows.order[equals_neighbour(rows.ids[rows.order])]
    if not len(shared):
        return shared, shared
    age = pc.rank(rows.take(shared, ["created"])["created"], "descending", tiebreaker="dense").to_numpy()
    shared = shared[np.lexsort((shared, age, rows.ids[shared]))]
    ids = rows.ids[shared]
    is_first = np.r_[True, ids[1:] != ids[:-1]]
    keepers = shared[is_first][np.cumsum(is_first) - 1]
    losers, keepers = shared[~is_first], keepers[~is_first]
    order = np.argsort(losers)
    return losers[order], keepers[order]


class SharedIds:
    """Iterating over this object gives a note of every annotation whose id an earlier split has too."""

    def __init__(self, converters: dict[str, ShardConverter], results: dict[str, list[ShardResult]]):
        """
        Keep what is needed to make the notes when they are asked for.

        Args:
            converters, results: of the splits, each without two of one id.
        """
        self._shared: list[tuple[str, str, _Rows, np.ndarray, np.ndarray]] = []
        earlier: list[tuple[str, _Rows]] = []
        for name, converter in converters.items():
            rows = _Rows(converter, results[name])
            for other, others in earlier:
                shared = np.flatnonzero(np.isin(rows.ids, others.ids))
                twins = others.order[np.searchsorted(others.ids, rows.ids[shared], sorter=others.order)]
                self._shared.append((name, other, rows, shared, _have_equal_content(rows, shared, others, twins)))
            earlier.append((name, rows))

    def __iter__(self) -> Iterator[Note]:
        for name, other, rows, shared, is_same in self._shared:
            for start in range(0, len(shared), BLOCK):
                block = shared[start : start + BLOCK]
                labels = rows.take(block, ["label_file"])["label_file"].to_pylist()
                same = is_same[start : start + BLOCK].tolist()
                for label, image_id, is_equal in zip(labels, rows.ids[block].tolist(), same, strict=True):
                    reason = f"id also in split {other}" + ("" if is_equal else ", other content")
                    yield Note(name, label, reason, "annotations", image_id)


def _have_equal_content(a: _Rows, a_rows: np.ndarray, b: _Rows, b_rows: np.ndarray) -> np.ndarray:
    """Say whether rows a_rows[i] and b_rows[i] are equal but for the files that they come from; bool (n,)."""
    equal = np.ones(len(a_rows), dtype=bool)
    for start in range(0, len(a_rows), BLOCK):
        block = slice(start, start + BLOCK)
        pair = [split.take(rows[block], a.content_columns) for split, rows in ((a, a_rows), (b, b_rows))]
        for name in a.content_columns:
            equal[block] &= equal_rows(*(table[name].combine_chunks() for table in pair))
    return equal


def equal_rows(a: pa.Array, b: pa.Array) -> np.ndarray:
    """
    Say for each row whether two columns hold the same value.

    Args:
        a, b: (N,) of one type, numbers, texts or lists of them, of any depth; no nulls.

    Returns:
        bool (N,). NaN equals NaN.
    """
    if pa.types.is_list(a.type):
        lengths = a.value_lengths().to_numpy()
        equal = lengths == b.value_lengths().to_numpy()
        rows = np.flatnonzero(equal)
        values = (array.take(pa.array(rows)).flatten() for array in (a, b))
        wrong = np.r_[0, np.cumsum(~equal_rows(*values))]  # before each of the values
        ends = np.cumsum(lengths[rows])
        equal[rows] = wrong[ends] == wrong[ends - lengths[rows]]
        return equal
    equal = pc.equal(a, b).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(a.type):
        equal = equal | pc.and_(pc.is_nan(a), pc.is_nan(b)).to_numpy(zero_copy_only=False)
    return equal
