"""Annotations that share an id: of a split one stays, between splits they are named."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from .annotation import Problem
from .files import write_table
from .shard import ShardConverter, ShardResult
from .store import FILE_FIELDS

__all__ = ["RefusedError", "drop_duplicates", "note_shared_ids"]


class RefusedError(ValueError):
    """With `strict`: the first problem, with its place."""


class _Rows:
    """The rows of a split's shards, by their number in the split."""

    def __init__(self, converter: ShardConverter, results: list[ShardResult]):
        self.converter, self.results = converter, results
        self.tables: dict[int, pa.Table] = {}

    def table(self, number: int) -> pa.Table:
        if number not in self.tables:
            with pa.memory_map(str(self.converter.paths(number)[0])) as source:
                self.tables[number] = pa.ipc.open_file(source).read_all()
        return self.tables[number]

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        ids = []
        for result in self.results:
            with pa.memory_map(str(self.converter.paths(result.number)[0])) as source:
                ids.append(pa.ipc.open_file(source).get_batch(0).column("image_id").to_numpy().copy())
        return np.concatenate(ids), np.repeat(np.arange(len(ids)), [len(part) for part in ids])

    @property
    def ids(self) -> np.ndarray:
        return self._columns[0]

    def place(self, row: int) -> tuple[int, int]:
        """(shard, row in it)"""
        shards = self._columns[1]
        return int(shards[row]), row - int(np.searchsorted(shards, shards[row]))

    def get(self, row: int, column: str) -> Any:
        shard, local = self.place(row)
        return self.table(shard)[column][local].as_py()

    def content(self, row: int) -> dict[str, Any]:
        shard, local = self.place(row)
        table = self.table(shard)
        return (
            table.select([name for name in table.column_names if name not in FILE_FIELDS])
            .slice(local, 1)
            .to_pylist()[0]
        )


def drop_duplicates(
    converter: ShardConverter, results: list[ShardResult], strict: bool
) -> dict[int, list[tuple[str, Problem]]]:
    """
    Of annotations with one id the one made last stays (파일 생성일자), the first of those made at one time.

    Args:
        converter, results: of a split; the results' counts follow.
        strict: raise in place of dropping one.

    Returns:
        Shard -> (label file, problem) of everything dropped.

    Raises:
        RefusedError: with `strict`.
    """
    rows = _Rows(converter, results)
    order = np.argsort(rows.ids, kind="stable")
    ids = rows.ids[order]
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1], True])
    dropped: dict[int, list[int]] = {}
    problems: dict[int, list[tuple[str, Problem]]] = {}
    for place in np.flatnonzero(np.diff(starts) > 1).tolist():
        group = order[starts[place] : starts[place + 1]]  # ascending, as the sort is stable
        image_id = int(ids[starts[place]])
        keep = max(group.tolist(), key=lambda row: rows.get(row, "created"))
        for row in group.tolist():
            if row == keep:
                continue
            shard, local = rows.place(row)
            reason = "duplicate id" if rows.content(row) == rows.content(keep) else "duplicate id, other content"
            label = rows.get(row, "label_file")
            if strict:
                raise RefusedError(f"{label}: {reason} (이미지 식별자), value {image_id}")
            parts = [converter.schema.parts.labels[i].name for i in rows.get(row, "part")]
            found = [Problem("", "이미지 식별자", reason, "dropped", image_id)]
            found += [Problem(part, "", "annotation dropped", "dropped") for part in parts]
            problems.setdefault(shard, []).extend((label, problem) for problem in found)
            dropped.setdefault(shard, []).append(local)
            for problem in found:
                results[shard].count_problem(problem)
            results[shard].counts.update(
                images_out=-1, annotations_dropped=1, garments_out=-len(parts), garments_dropped=len(parts)
            )
    for shard, locals_ in dropped.items():
        keep_rows = np.ones(len(rows.table(shard)), dtype=bool)
        keep_rows[locals_] = False
        arrow_file, _, mark = converter.paths(shard)
        mark.unlink(missing_ok=True)  # killed from here on, this shard is made again
        results[shard].sha256 = write_table(arrow_file, rows.table(shard).filter(pa.array(keep_rows)))
    return problems


def note_shared_ids(
    converters: dict[str, ShardConverter], results: dict[str, list[ShardResult]]
) -> list[tuple[str, str, str, str, int]]:
    """(split, label file, reason, "annotations", id) of every annotation whose id an earlier split has too."""
    notes: list[tuple[str, str, str, str, int]] = []
    earlier: list[tuple[str, _Rows]] = []
    for name, converter in converters.items():
        rows = _Rows(converter, results[name])
        for other, others in earlier:
            order = np.argsort(others.ids, kind="stable")
            for row in np.flatnonzero(np.isin(rows.ids, others.ids)).tolist():
                image_id = int(rows.ids[row])
                twin = int(order[np.searchsorted(others.ids, image_id, sorter=order)])
                same = rows.content(row) == others.content(twin)
                reason = f"id also in split {other}" + ("" if same else ", other content")
                notes.append((name, rows.get(row, "label_file"), reason, "annotations", image_id))
        earlier.append((name, rows))
    return notes
