"""K-Fashion annotations to the store: a fixed number of annotations a shard, so that workers never change a byte."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
from tqdm import tqdm

from ..schema import AttributeSchema, kfashion_schema
from .annotation import Problem, parse_annotation
from .sources import Source, find_sources
from .store import FORMAT, records_to_table

__all__ = ["convert_dataset", "summary_table"]

logger = logging.getLogger(__name__)

SHARD_SIZE = 4096  # annotations read for a shard; part of the format: another number gives other files
COUNTS = ("annotations", "images_out", "annotations_dropped", "garments", "garments_out", "garments_dropped")


class _Job(NamedTuple):
    number: int
    sources: list[Source]


class _Result(NamedTuple):
    """What a worker hands back: small things only, the rows are in the file."""

    number: int
    image_ids: list[int]
    problems: list[tuple[str, Problem]]
    counts: Counter


def convert_dataset(
    data_root: str | Path,
    output: str | Path,
    *,
    workers: int = 1,
    strict: bool = False,
    split: str = "train",
    labels_only: bool = False,
    check_images: bool = False,
    schema: AttributeSchema | None = None,
) -> dict[str, Any]:
    """
    Convert every annotation under a folder; see :func:`find_sources` for the layouts.

    Args:
        data_root: the data's folder.
        output: gets `<split>/shard-*.arrow`, `<split>/meta.json`, `problems.jsonl` and `summary.json`. A split appears
            only when it is complete, and replaces an older one of its name.
        workers: processes. The files are the same for any number.
        strict: stop at the first problem that is not merely noted.
        split: name of the split for files that lie under no Training or Validation folder.
        labels_only: keep annotations whose image is missing, for analysis.
        check_images: open every image, and drop those that cannot be read or are of another size.
        schema: the vocabulary; K-Fashion's if none.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        FileNotFoundError: no such folder, or no annotation in it.
        ValueError: `workers` is below 1; or, with `strict`, the first problem, with its place.
        OSError: the output cannot be written.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: at least 1 is needed")
    root, output = Path(data_root).resolve(), Path(output).resolve()
    schema = schema or kfashion_schema()
    sources, num_images = find_sources(root, split, skip=output)
    output.mkdir(parents=True, exist_ok=True)
    for leftover in output.glob(".*.partial"):
        shutil.rmtree(leftover)
    splits = sorted({source.split for source in sources})
    work = partial(_convert_shard, root=root, schema=schema, labels_only=labels_only, check_images=check_images)
    summary: dict[str, Any] = {
        "schema": {"name": schema.name, "version": schema.version, "hash": schema.hash},
        "splits": {},
    }
    problems: list[tuple[str, str, Problem]] = []
    finished: list[tuple[Path, Path]] = []
    try:
        with tqdm(total=len(sources), unit=" annotations", desc="convert", smoothing=0.05) as bar:
            for name in splits:
                partial_dir = output / f".{name}.partial"
                partial_dir.mkdir()
                finished.append((partial_dir, output / name))
                own = [source for source in sources if source.split == name]
                jobs = [_Job(i, own[k : k + SHARD_SIZE]) for i, k in enumerate(range(0, len(own), SHARD_SIZE))]
                results = []
                for result in _run(partial(work, folder=partial_dir), jobs, workers):
                    if strict:
                        _refuse_first(result.problems)
                    results.append(result)
                    bar.update(len(jobs[result.number].sources))
                rows = _drop_duplicates(partial_dir, results, schema, strict)
                counts = sum((result.counts for result in results), Counter({key: 0 for key in COUNTS}))
                problems += [(name, path, problem) for result in results for path, problem in result.problems]
                summary["splits"][name] = _finish_split(
                    partial_dir, counts, rows, schema, os.path.relpath(root, output / name), num_images.get(name, 0)
                )
        for partial_dir, final_dir in finished:
            _replace(partial_dir, final_dir)
    except BaseException:
        for partial_dir, _ in finished:
            shutil.rmtree(partial_dir, ignore_errors=True)
        raise
    summary["problems"] = _count_problems(problems)
    _check_sums(summary, len(sources))
    _write_text(output / "problems.jsonl", "".join(_problem_lines(problems)))
    _write_text(output / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


def _run(function, jobs: list[_Job], workers: int) -> Iterator[_Result]:
    """Results in the order of the jobs."""
    if workers == 1 or len(jobs) == 1:
        yield from map(function, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        try:
            yield from pool.map(function, jobs)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _convert_shard(
    job: _Job, *, folder: Path, root: Path, schema: AttributeSchema, labels_only: bool, check_images: bool
) -> _Result:
    records, problems, counts = [], [], Counter(annotations=len(job.sources))
    for source in job.sources:
        record, found = _read(root / source.label, schema)
        if record is not None:
            record.update(file_name=source.image, label_file=source.label)
            if record["image_id"] is None and source.stem.isdecimal() and len(source.stem) < 19:
                record["image_id"] = int(source.stem)
                found.append(Problem("", "이미지 식별자", "no id, taken from the file's name", "repaired", source.stem))
            reason = _why_drop(record, source, root, labels_only, check_images)
            if reason:
                # Its garments go with it; those that were dropped already keep their own reason.
                found.append(Problem("", "", reason, "dropped", source.image or None))
                found += [Problem(anno["part"], "", "annotation dropped", "dropped") for anno in record["annotations"]]
                record = None
        if record is None:
            counts["annotations_dropped"] += 1
        else:
            records.append(record)
            counts["images_out"] += 1
            counts["garments_out"] += len(record["annotations"])
        counts["garments_dropped"] += sum(problem.action == "dropped" and problem.part != "" for problem in found)
        problems += [(source.label, problem) for problem in found]
    counts["garments"] = counts["garments_out"] + counts["garments_dropped"]
    _write_table(folder / f"shard-{job.number:05d}.arrow", records_to_table(records, schema))
    return _Result(job.number, [record["image_id"] for record in records], problems, counts)


def _read(path: Path, schema: AttributeSchema) -> tuple[dict[str, Any] | None, list[Problem]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        return None, [Problem("", "", "file unreadable", "dropped", error.strerror)]
    try:
        obj = orjson.loads(data)
    except orjson.JSONDecodeError:
        # Python's parser takes NaN, Infinity, a byte order mark and lone surrogates, which orjson refuses.
        try:
            obj = json.loads(data)
        except (ValueError, RecursionError):
            return None, [Problem("", "", "not JSON", "dropped")]
    return parse_annotation(obj, schema)


def _why_drop(record: dict, source: Source, root: Path, labels_only: bool, check_images: bool) -> str:
    if record["image_id"] is None:
        return "no id"
    if not source.image:
        return "" if labels_only else "no image"
    return _image_fault(root / source.image, record) if check_images else ""


def _image_fault(path: Path, record: dict) -> str:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            size = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "image broken"
    return "" if size == (record["width"], record["height"]) else "image of another size"


def _write_table(path: Path, table: pa.Table) -> None:
    batches = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(batches[0])


def _read_table(path: Path) -> pa.Table:
    with pa.OSFile(str(path), "rb") as source:
        return pa.ipc.open_file(source).read_all()


def _drop_duplicates(folder: Path, results: list[_Result], schema: AttributeSchema, strict: bool) -> list[int]:
    """Of images with one id the first stays. Returns the number of rows of each shard."""
    seen: set[int] = set()
    rows = []
    for result in results:
        keep = []
        for image_id in result.image_ids:
            keep.append(image_id not in seen)
            seen.add(image_id)
        rows.append(sum(keep))
        if all(keep):
            continue
        path = folder / f"shard-{result.number:05d}.arrow"
        table = _read_table(path)
        for row in (row for row, kept in enumerate(keep) if not kept):
            label, image_id = table["label_file"][row].as_py(), table["image_id"][row].as_py()
            parts = table["part"][row].as_py()
            found = [Problem("", "이미지 식별자", "duplicate id", "dropped", image_id)]
            found += [Problem(schema.parts.labels[i].name, "", "annotation dropped", "dropped") for i in parts]
            result.problems.extend((label, problem) for problem in found)
            result.counts.update(
                images_out=-1, annotations_dropped=1, garments_out=-len(parts), garments_dropped=len(parts)
            )
        if strict:
            _refuse_first(result.problems)
        _write_table(path, table.filter(pa.array(keep)))
    return rows


def _finish_split(
    folder: Path, counts: Counter, rows: list[int], schema: AttributeSchema, image_root: str, num_images: int
) -> dict[str, int]:
    digest = hashlib.sha256()
    for number in range(len(rows)):
        digest.update((folder / f"shard-{number:05d}.arrow").read_bytes())
    meta = {
        "format": FORMAT,
        "schema": {"name": schema.name, "version": schema.version, "hash": schema.hash},
        "store_hash": digest.hexdigest(),
        "image_root": image_root.replace(os.sep, "/"),
        "rows": rows,
        **{key: counts[key] for key in COUNTS},
    }
    _write_text(folder / "meta.json", json.dumps(meta, indent=2, ensure_ascii=False) + "\n")
    return {"images_found": num_images, **{key: counts[key] for key in COUNTS}}


def _replace(new: Path, old: Path) -> None:
    if old.exists():
        retired = old.with_name(f".{old.name}.old.partial")
        os.rename(old, retired)
        os.rename(new, old)
        shutil.rmtree(retired)
    else:
        os.rename(new, old)


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="surrogatepass")
    os.replace(temporary, path)


def _refuse_first(problems: list[tuple[str, Problem]]) -> None:
    for path, problem in problems:
        if problem.action != "noted":
            place = ", ".join(filter(None, (problem.part, problem.key)))
            raise ValueError(f"{path}: {problem.reason} ({place or 'the whole file'}), value {problem.value!r}")


def _problem_lines(problems: list[tuple[str, str, Problem]]) -> Iterator[str]:
    for split, path, problem in problems:
        entry = {"split": split, "path": path, **problem._asdict()}
        yield json.dumps(entry, ensure_ascii=True, default=str) + "\n"


def _count_problems(problems: list[tuple[str, str, Problem]]) -> list[dict[str, Any]]:
    counts = Counter((problem.reason, problem.action, problem.part == "") for _, _, problem in problems)
    return [
        {"reason": reason, "action": action, "of": "annotations" if whole else "garments", "count": count}
        for (reason, action, whole), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _check_sums(summary: dict[str, Any], num_sources: int) -> None:
    """The books balance, or we have a fault of our own."""
    splits = summary["splits"].values()
    assert sum(s["annotations"] for s in splits) == num_sources
    for name, unit in (("images_out", "annotations"), ("garments_out", "garments")):
        assert all(s[name] + s[f"{unit}_dropped"] == s[unit] for s in splits), summary
    for unit in ("annotations", "garments"):
        dropped = sum(p["count"] for p in summary["problems"] if p["action"] == "dropped" and p["of"] == unit)
        assert dropped == sum(s[f"{unit}_dropped"] for s in splits), summary


def summary_table(summary: dict[str, Any]) -> str:
    """The closing table, for people."""
    from tabulate import tabulate

    header = ["split", "images found", "annotations", "= kept", "+ dropped", "garments", "= kept", "+ dropped"]
    rows = [
        [name, counts["images_found"], *(counts[key] for key in COUNTS)] for name, counts in summary["splits"].items()
    ]
    if len(rows) > 1:
        rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, len(header)))])
    text = tabulate(rows, headers=header, tablefmt="simple")
    if summary["problems"]:
        problems = [[p["reason"], p["of"], p["action"], p["count"]] for p in summary["problems"]]
        text += "\n\n" + tabulate(problems, headers=["problem", "of", "action", "count"], tablefmt="simple")
    return text
