"""This module converts one shard: annotations are read, parsed, checked and written, or found finished."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ...schema import AttributeSchema
from ...utils.files import garbage_collector_off, write_file
from ..annotation.no_break_space import find_no_break_spaces
from ..annotation.parser import Problem, read_annotation
from ..sources.file_table import Archive, FileTable
from ..sources.paths import NO_ID, label_stem_of, stem_id
from ..sources.reader import SourceReader, UnreadableError, file_stamp
from ..store.schema import FILE_FIELDS, FORMAT, arrow_schema
from ..store.writer import write_table
from .fast_parser import FastParser
from .problem_lines import problem_line, shown
from .rows import ImageRow, merge_rows, record_row, resolve_rows, rows_to_table

__all__ = ["Job", "ShardConverter", "ShardResult"]

BATCH_BYTES = 32 << 20  # of files that are in memory at a time; all of a shard, unless they are of absurd size


class Job(NamedTuple):
    """A job is the annotations of a shard and their images, row by row."""

    split: str
    number: int
    labels: FileTable
    images: FileTable


@dataclass
class ShardResult:
    """A shard's result has what the books need; the rows and problems are in its files."""

    number: int
    counts: Counter = field(default_factory=Counter)
    problems: Counter = field(default_factory=Counter)  # of (reason, action, unit)
    first_refused: str = ""  # with its file and key: what `strict` stops at
    sha256: str = ""  # of the Arrow file
    reused: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "problems": [[*key, count] for key, count in self.problems.items()],
            "first_refused": self.first_refused,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, number: int, data: dict[str, Any]) -> ShardResult:
        problems = Counter({tuple(key): count for *key, count in data["problems"]})
        return cls(number, Counter(data["counts"]), problems, data["first_refused"], data["sha256"], True)

    def count_problem(self, problem: Problem) -> None:
        self.problems[problem.reason, problem.action, "garments" if problem.part else "annotations"] += 1


def _dropped(reason: str, image: str, parts: list[str]) -> list[Problem]:
    """List the problems of a dropped annotation and of each of its garments."""
    garments = [Problem(part, "", "annotation dropped", "dropped") for part in parts]
    return [Problem("", "", reason, "dropped", image or None), *garments]


@dataclass
class ShardConverter:
    """
    Calling this object in a worker process turns a job into the shard's files and a :class:`ShardResult`.

    Attributes:
        root: the data's folder.
        folder: gets `shards/shard-*.arrow`, and `done/` with a shard's problems and its mark, written last.
        archives: what a job's numbers mean.
        schema, labels_only, check_images: as for :func:`convert_dataset`.
    """

    root: Path
    folder: Path
    archives: list[Archive]
    schema: AttributeSchema
    labels_only: bool
    check_images: bool

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_parser", "_reader")}

    @cached_property
    def _parser(self) -> FastParser:
        return FastParser(self.schema)

    @cached_property
    def _reader(self) -> SourceReader:
        return SourceReader(self.root, self.archives)

    def paths(self, number: int) -> tuple[Path, Path, Path]:
        """Return the paths of a shard's Arrow file, problems and mark."""
        done = self.folder / "done"
        name = f"shard-{number:05d}"
        return self.folder / "shards" / f"{name}.arrow", done / f"{name}.jsonl", done / f"{name}.json"

    def __call__(self, job: Job) -> ShardResult:
        arrow_file, problem_file, mark = self.paths(job.number)
        try:
            data = json.loads(mark.read_bytes())
            if arrow_file.is_file() and data["fingerprint"] == self._fingerprint(job, {}):
                return ShardResult.from_json(job.number, data)
        except (OSError, ValueError):
            pass
        self._reader.stamps.clear()
        result = ShardResult(job.number)
        lines: list[str] = []
        start = 0
        tables: list[pa.Table] = []
        with garbage_collector_off():
            while start < len(job.labels.paths) or not tables:
                start, table = self._convert(job, start, result, lines)
                tables.append(table)
        result.counts["garments"] = result.counts["garments_out"] + result.counts["garments_dropped"]
        result.sha256 = write_table(arrow_file, pa.concat_tables(tables))
        write_file(problem_file, "".join(lines).encode())
        write_file(
            mark, json.dumps({"fingerprint": self._fingerprint(job, self._reader.stamps), **result.to_json()}).encode()
        )
        return result

    def _fingerprint(self, job: Job, stamps: Mapping[str, bytes]) -> str:
        """
        Hash all that a shard's bytes follow from, the contents taken by size and time.

        Args:
            stamps: those of files that were read already.
        """
        digest = hashlib.sha256(repr((FORMAT, self.schema.hash, self.labels_only, self.check_images)).encode())
        digest.update(repr((self.archives, sorted(job.labels.faults.items()))).encode())
        for files in (job.labels, job.images):
            digest.update("\0".join(files.paths).encode("utf-8", "surrogatepass"))
            digest.update(np.ascontiguousarray(files.numbers).tobytes())
        for files in (job.labels, job.images) if self.check_images else (job.labels,):
            for path, number in zip(files.paths, files.numbers[:, 0].tolist(), strict=True):
                if number < 0 and path:  # an archive's stamp is among the archives
                    digest.update(stamps.get(path) or self._stamp(path))
        return digest.hexdigest()

    def _stamp(self, path: str) -> bytes:
        try:
            return file_stamp(os.stat(f"{self.root}/{path}"))
        except OSError:
            return file_stamp(None)

    def _convert(self, job: Job, start: int, result: ShardResult, lines: list[str]) -> tuple[int, pa.Table]:
        """
        Convert some annotations from row `start` on; counts go to `result`, problems to `lines`.

        Returns:
            The row after it, and what is kept as the store has it.
        """
        fast: list[tuple[int, ImageRow]] = []
        slow: dict[int, ImageRow] = {}
        problems: dict[int, list[Problem]] = defaultdict(list)
        row, held = start, 0
        while row < len(job.labels.paths) and held < BATCH_BYTES:
            try:
                label = self._reader.read_label(job.labels, row)
            except UnreadableError as error:
                problems[row].append(Problem("", "", error.reason, "dropped", error.value))
            else:
                held += len(label.data)
                if label.is_cp949:
                    problems[row].append(Problem("", "", "text in cp949", "noted"))
                if note := find_no_break_spaces(label.data, label.obj):
                    problems[row].append(note)
                if label.is_strict and (image_row := self._parser.read(label.obj)):
                    fast.append((row, image_row))
                else:
                    self._read_slowly(job, row, label.obj, slow, problems)
            row += 1
        geometry, sound = resolve_rows([image_row for _, image_row in fast])
        for i in np.flatnonzero(~sound).tolist():
            # Read once more: holding all files for the few would push everything else out of the processor's caches.
            self._read_again(job, fast[i][0], slow, problems)
        # Of those that have an image nothing more is asked, unless it is to be opened.
        stays = [bool(path) and not self.check_images for path in job.images.paths]
        keep = [
            is_sound and (stays[row] or self._keeps(job, row, image_row, problems))
            for is_sound, (row, image_row) in zip(sound.tolist(), fast, strict=True)
        ]
        geometry = geometry[np.repeat(keep, [len(image_row.garments) for _, image_row in fast]).astype(bool)]
        kept, geometry = merge_rows(list(compress(fast, keep)), geometry, sorted(slow.items()))
        self._account(job, problems, result, lines)
        result.counts.update(annotations=row - start, images_out=len(kept), garments_out=len(geometry))
        return row, self._to_table(job, kept, geometry)

    def _read_again(self, job: Job, row: int, rows: dict[int, ImageRow], problems: dict[int, list[Problem]]) -> None:
        try:
            label = self._reader.read_label(job.labels, row)
        except UnreadableError as error:
            problems[row].append(Problem("", "", error.reason, "dropped", error.value))
        else:
            self._read_slowly(job, row, label.obj, rows, problems)

    def _keeps(self, job: Job, row: int, image_row: ImageRow, problems: dict[int, list[Problem]]) -> bool:
        """Say whether a sound annotation stays; else list the problem."""
        _, height, width, *_ = image_row.image
        reason = self._why_drop(job, row, width, height)
        if reason:
            parts = [self.schema.parts.labels[garment.ids[0]].name for garment in image_row.garments]
            problems[row] += _dropped(reason, job.images.paths[row], parts)
        return not reason

    def _read_slowly(
        self, job: Job, row: int, obj: Any, rows: dict[int, ImageRow], problems: dict[int, list[Problem]]
    ) -> None:
        """
        Put an unusual annotation into `rows`, if it stays, and everything there is to say about it into `problems`.
        """
        record, notes, rects = read_annotation(obj, self.schema)
        problems[row] += notes
        if record is None:
            return
        stem = label_stem_of(job.labels.paths[row])
        if record["image_id"] is None and stem_id(stem) != NO_ID:
            record["image_id"] = int(stem)
            problems[row].append(Problem("", "이미지 식별자", "no id, taken from the file's name", "repaired", stem))
        no_id = "no id" if record["image_id"] is None else ""
        reason = no_id or self._why_drop(job, row, record["width"], record["height"])
        if reason:
            # Its garments go with it; those that were dropped already keep their own reason.
            parts = [anno["part"] for anno in record["annotations"]]
            problems[row] += _dropped(reason, job.images.paths[row], parts)
        else:
            rows[row] = record_row(record, rects, self.schema)

    def _account(self, job: Job, problems: dict[int, list[Problem]], result: ShardResult, lines: list[str]) -> None:
        """Count an annotation and list its problems."""
        for row in sorted(problems):
            path = job.labels.paths[row]
            for problem in problems[row]:
                result.count_problem(problem)
                if problem.action == "dropped":
                    result.counts["garments_dropped" if problem.part else "annotations_dropped"] += 1
                lines.append(problem_line(job.split, path, problem))
                if problem.action != "noted" and not result.first_refused:
                    where = ", ".join(filter(None, (problem.part, problem.key))) or "the whole file"
                    result.first_refused = f"{path}: {problem.reason} ({where}), value {shown(problem.value)}"

    def _why_drop(self, job: Job, row: int, width: int, height: int) -> str:
        if not job.images.paths[row]:
            return "" if self.labels_only else "no image"
        return self._reader.image_fault(job.images, row, (width, height)) if self.check_images else ""

    def _to_table(self, job: Job, kept: list[tuple[int, ImageRow]], geometry: np.ndarray) -> pa.Table:
        """Make all columns of the store."""
        rows = [row for row, _ in kept]
        table = rows_to_table([image_row for _, image_row in kept], geometry, self.schema)
        numbers = job.images.numbers[rows] if rows else np.empty((0, 6), dtype=np.int64)
        columns: list[Any] = [
            [job.labels.paths[row] for row in rows],
            list(self._entry_names(job.images, rows)),
            *numbers.T[:5],
        ]
        arrays = [pa.array(values, kind) for values, kind in zip(columns, FILE_FIELDS.values(), strict=True)]
        return pa.Table.from_arrays([*table.columns, *arrays], schema=arrow_schema(self.schema))

    def _entry_names(self, images: FileTable, rows: list[int]) -> Iterator[str]:
        for row, number in zip(rows, images.numbers[rows, 0].tolist(), strict=True):
            path = images.paths[row]
            yield path if number < 0 else self.archives[number].entry_name(path)
