"""One shard of a conversion: a run of annotations read, parsed, checked and written, or found finished."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from ..schema import AttributeSchema
from .annotation import Problem, parse_annotation
from .batch import BatchParser
from .files import write_atomically, write_table
from .sources import MAX_LABEL_BYTES, NO_ID, Archive, Places, stem_id, stem_of
from .store import FILE_FIELDS, FORMAT, arrow_schema, records_to_table
from .zip_reader import ZipEntryError, read_at

__all__ = ["Job", "ShardConverter", "ShardResult", "problem_line"]

_NO_BREAK_SPACE = re.compile(rb"\xc2\xa0|\\u00[aA]0")
BATCH_SIZE = 512  # annotations whose parsed JSON is in memory at a time


class Job(NamedTuple):
    """The annotations of a shard and their images, row by row."""

    split: str
    number: int
    labels: Places
    images: Places


@dataclass
class ShardResult:
    """What the books need of a shard; the rows and problems are in its files."""

    number: int
    counts: Counter = field(default_factory=Counter)
    problems: Counter = field(default_factory=Counter)  # of (reason, action, of)
    first_refused: str = ""  # with its place: what `strict` stops at
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


def problem_line(split: str, path: str, problem: Problem) -> str:
    """A line of problems.jsonl, which any JSON parser reads."""
    entry = {"split": split, "path": path, **problem._asdict()}
    try:
        line = json.dumps(entry, allow_nan=False, default=str)
        orjson.loads(line)
    except (ValueError, RecursionError):  # NaN, numbers beyond a double, halves of surrogate pairs, deep nesting
        key = problem.key.encode("utf-8", "backslashreplace").decode()
        line = json.dumps({**entry, "key": key, "value": _shown(problem.value)})
    return line + "\n"


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return "too long or too deep to show"


class _UnreadableError(Exception):
    def __init__(self, reason: str, value: Any = None):
        self.reason, self.value = reason, value


def _load_json(data: bytes) -> tuple[Any, bool]:
    """The JSON value, and whether orjson read it: then it holds no NaN and no infinity."""
    try:
        return orjson.loads(data), True
    except orjson.JSONDecodeError:
        # Python's parser takes NaN, Infinity, a byte order mark and lone surrogates, which orjson refuses.
        try:
            return json.loads(data), False
        except (ValueError, RecursionError):
            raise _UnreadableError("not JSON") from None


@contextmanager
def _garbage_collector_off() -> Iterator[None]:
    """JSON has no cycles, and the collector would look for them among all the objects of a batch, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass
class ShardConverter:
    """
    Callable in a worker process: a job in, its files and a :class:`ShardResult` out.

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
        return {key: value for key, value in self.__dict__.items() if key not in ("_parser", "_files")}

    @cached_property
    def _parser(self) -> BatchParser:
        return BatchParser(self.schema)

    @cached_property
    def _files(self) -> dict[int, int]:
        return {}

    def paths(self, number: int) -> tuple[Path, Path, Path]:
        """A shard's Arrow file, problems and mark."""
        done = self.folder / "done"
        name = f"shard-{number:05d}"
        return self.folder / "shards" / f"{name}.arrow", done / f"{name}.jsonl", done / f"{name}.json"

    def __call__(self, job: Job) -> ShardResult:
        arrow_file, problem_file, mark = self.paths(job.number)
        fingerprint = self._fingerprint(job)
        try:
            data = json.loads(mark.read_bytes())
            if data["fingerprint"] == fingerprint and arrow_file.is_file():
                return ShardResult.from_json(job.number, data)
        except (OSError, ValueError):
            pass
        result = ShardResult(job.number)
        lines: list[str] = []
        size = len(job.labels.paths)
        with _garbage_collector_off():
            batches = (range(start, min(start + BATCH_SIZE, size)) for start in range(0, size, BATCH_SIZE))
            tables = [self._convert(job, rows, result, lines) for rows in batches]
        result.sha256 = write_table(arrow_file, pa.concat_tables(tables))
        write_atomically(problem_file, "".join(lines).encode())
        write_atomically(mark, json.dumps({"fingerprint": fingerprint, **result.to_json()}).encode())
        return result

    def _fingerprint(self, job: Job) -> str:
        """Of all that a shard's bytes follow from, the contents taken by size and time."""
        digest = hashlib.sha256(repr((FORMAT, self.schema.hash, self.labels_only, self.check_images)).encode())
        digest.update(repr((self.archives, sorted(job.labels.faults.items()))).encode())
        for places in (job.labels, job.images):
            digest.update("\0".join(places.paths).encode("utf-8", "surrogatepass"))
            digest.update(np.ascontiguousarray(places.numbers).tobytes())
        for places in (job.labels, job.images) if self.check_images else (job.labels,):
            for path, number in zip(places.paths, places.numbers[:, 0].tolist(), strict=True):
                if number < 0 and path:  # an archive's stamp is among the archives
                    digest.update(self._stamp(path))
        return digest.hexdigest()

    def _stamp(self, path: str) -> bytes:
        try:
            stat = os.stat(f"{self.root}/{path}")
        except OSError:
            return b"none"
        return b"%d %d " % (stat.st_size, stat.st_mtime_ns)

    def _convert(self, job: Job, rows: range, result: ShardResult, lines: list[str]) -> pa.Table:
        """A batch's rows, as the store has them; counts and problems go to the two lists."""
        objs: list[Any] = []  # of the rows that go the fast way
        fast: list[int] = []
        slow: dict[int, tuple[dict[str, Any] | None, list[Problem]]] = {}
        for row in rows:
            try:
                data = self._read(job, row)
                obj, is_plain = _load_json(data)
            except _UnreadableError as error:
                slow[row] = None, [Problem("", "", error.reason, "dropped", error.value)]
                continue
            if _NO_BREAK_SPACE.search(data):  # they are folded away; the count is for those who write such files
                note = Problem("", "", "no-break space", "noted")
                result.count_problem(note)
                lines.append(problem_line(job.split, job.labels.paths[row], note))
            if is_plain and not self.check_images and (job.images.paths[row] or self.labels_only):
                fast.append(row)
                objs.append(obj)
            else:
                slow[row] = parse_annotation(obj, self.schema)
        taken, table = self._parser.parse(objs)
        taken_set = set(taken.tolist())
        for i, row in enumerate(fast):
            if i not in taken_set:
                slow[row] = parse_annotation(objs[i], self.schema)
        kept = [fast[i] for i in taken.tolist()]
        result.counts.update(
            annotations=len(rows), images_out=len(kept), garments_out=len(table["part"].combine_chunks().flatten())
        )
        records = []
        for row in sorted(slow):
            record = self._account(job, row, *slow[row], result, lines)
            if record is not None:
                kept.append(row)
                records.append(record)
        if records:
            table = pa.concat_tables([table, records_to_table(records, self.schema)])
            table = table.take(pa.array(np.argsort(kept)))
            kept.sort()
        result.counts["garments"] = result.counts["garments_out"] + result.counts["garments_dropped"]
        return self._add_files(job, table, kept)

    def _read(self, job: Job, row: int) -> bytes:
        if row in job.labels.faults:
            raise _UnreadableError(job.labels.faults[row])
        number, offset, compressed_size, size, method, crc = job.labels.numbers[row].tolist()
        try:
            if number < 0:
                with open(f"{self.root}/{job.labels.paths[row]}", "rb", buffering=0) as file:
                    if os.fstat(file.fileno()).st_size > MAX_LABEL_BYTES:
                        raise _UnreadableError("file too large")
                    return file.read()
            data = read_at(self._open(number), offset, compressed_size, size, method, "")
        except ZipEntryError as error:
            raise _UnreadableError("zip entry damaged", str(error).rpartition("zip entry ")[2]) from None
        except OSError as error:
            raise _UnreadableError("file unreadable", error.strerror) from None
        if zlib.crc32(data) != crc:
            raise _UnreadableError("zip entry damaged", "checksum")
        return data

    def _open(self, number: int) -> int:
        if number not in self._files:
            self._files[number] = os.open(self.root / self.archives[number].path, os.O_RDONLY)
        return self._files[number]

    def _account(
        self, job: Job, row: int, record: dict[str, Any] | None, found: list[Problem], result: ShardResult, lines: list
    ) -> dict[str, Any] | None:
        """Count what the slow way found; the record, where it stays."""
        path, image = job.labels.paths[row], job.images.paths[row]
        if record is not None:
            stem = stem_of(path)
            if record["image_id"] is None and stem_id(stem) != NO_ID:
                record["image_id"] = int(stem)
                found.append(Problem("", "이미지 식별자", "no id, taken from the file's name", "repaired", stem))
            reason = self._why_drop(record, job, row)
            if reason:
                # Its garments go with it; those that were dropped already keep their own reason.
                found.append(Problem("", "", reason, "dropped", image or None))
                found += [Problem(anno["part"], "", "annotation dropped", "dropped") for anno in record["annotations"]]
                record = None
        if record is None:
            result.counts["annotations_dropped"] += 1
        else:
            result.counts.update(images_out=1, garments_out=len(record["annotations"]))
        for problem in found:
            result.count_problem(problem)
            result.counts["garments_dropped"] += problem.action == "dropped" and problem.part != ""
            lines.append(problem_line(job.split, path, problem))
            if problem.action != "noted" and not result.first_refused:
                place = ", ".join(filter(None, (problem.part, problem.key))) or "the whole file"
                result.first_refused = f"{path}: {problem.reason} ({place}), value {_shown(problem.value)}"
        return record

    def _why_drop(self, record: dict[str, Any], job: Job, row: int) -> str:
        if record["image_id"] is None:
            return "no id"
        if not job.images.paths[row]:
            return "" if self.labels_only else "no image"
        return self._image_fault(job, row, record) if self.check_images else ""

    def _image_fault(self, job: Job, row: int, record: dict[str, Any]) -> str:
        from PIL import Image

        number, offset, compressed_size, size, method, _ = job.images.numbers[row].tolist()
        path = f"{self.root}/{job.images.paths[row]}"
        try:
            source: Any = path
            if number >= 0:
                source = io.BytesIO(read_at(self._open(number), offset, compressed_size, size, method, path))
            with Image.open(source) as image:
                image.load()
                found = image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return "image broken"
        return "" if found == (record["width"], record["height"]) else "image of another size"

    def _add_files(self, job: Job, table: pa.Table, rows: list[int]) -> pa.Table:
        """The columns of FILE_FIELDS."""
        numbers = job.images.numbers[rows] if rows else np.empty((0, 6), dtype=np.int64)
        columns: list[Any] = [
            [job.labels.paths[row] for row in rows],
            list(self._entry_names(job.images, rows)),
            *numbers.T[:5],
        ]
        arrays = [pa.array(values, kind) for values, kind in zip(columns, FILE_FIELDS.values(), strict=True)]
        return pa.Table.from_arrays([*table.columns, *arrays], schema=arrow_schema(self.schema))

    def _entry_names(self, images: Places, rows: list[int]) -> Iterator[str]:
        for row, number in zip(rows, images.numbers[rows, 0].tolist(), strict=True):
            path = images.paths[row]
            yield path if number < 0 else path[len(self.archives[number].path) + 1 :]
