"""
This module converts K-Fashion annotations to the store, a fixed number of annotations a shard, so that the number of
workers never changes a byte.

Until all of it is done, a split lies in `.<split>.partial`, each finished shard with a mark that says what it was made
from: a run that was killed goes on there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ...schema import AttributeSchema, kfashion_schema
from ...utils.files import garbage_collector_off, new_path, replace_folder, write_file
from ...utils.output_folder import check_output_folder
from ...utils.workers import map_in_order
from ..annotation.parser import Problem
from ..sources.discovery import find_sources
from ..sources.source_index import MISLEADING, Note, SourceIndex
from ..store.folder import check_split_folder, is_conversion_folder
from ..store.schema import FORMAT
from ..store.writer import store_hash
from .duplicates import RefusedError, SharedIds, drop_duplicates
from .earlier_splits import earlier_splits, problems_of
from .problem_lines import problem_line
from .shard import Job, ShardConverter, ShardResult

__all__ = ["convert_dataset", "summary_table"]

logger = logging.getLogger(__name__)

SHARD_SIZE = 4096  # annotations read for a shard; part of the format: another number gives other files
MOST_WARNINGS, MOST_NAMES = 10, 4
COUNTS = ("annotations", "images_out", "annotations_dropped", "garments", "garments_out", "garments_dropped")


def convert_dataset(
    data_root: str | Path,
    output: str | Path,
    *,
    workers: int = 1,
    strict: bool = False,
    split: str | None = None,
    labels_only: bool = False,
    check_images: bool = False,
    schema: AttributeSchema | None = None,
) -> dict[str, Any]:
    """
    Convert every annotation under a folder, in files or in zip archives; see :func:`find_sources` for the layouts.
    A run that was stopped goes on with the shards that it lacks, if what it reads has not changed.

    Args:
        data_root: the data's folder.
        output: gets `<split>/shard-*.arrow`, `<split>/meta.json`, `problems.jsonl` and `summary.json`. A split appears
            only when it is complete, and replaces an older one of its name; one of another name stays, with its lines
            in `problems.jsonl`, and is named. A folder that holds anything else is refused, and so is one inside or
            around the data.
        workers: processes. The files are the same for any number.
        strict: stop at the first problem that is not merely noted.
        split: name of the split for files in no folder or archive whose name says one; None: the one that the name of
            the image's folder or of the root says, or "train".
        labels_only: keep annotations whose image is missing, for analysis.
        check_images: open every image, and drop those that cannot be read or are of another size.
        schema: the vocabulary; K-Fashion's if none.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        FileNotFoundError: no such folder, or no annotation in it.
        ValueError: `workers` is below 1, `split` is no folder's name, `data_root` is a converted store, or `output`
            holds what no conversion wrote; with `strict`, the first problem, with its position.
        OSError: the output cannot be written.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: at least 1 is needed")
    if split is not None and (split != os.path.basename(split) or split.startswith(".") or not split):
        raise ValueError(f"split={split!r}: give a name that a folder in the output can have")
    root, output = Path(data_root).resolve(), Path(output).resolve()
    schema = schema or kfashion_schema()
    check_output_folder(output, marker=is_conversion_folder, sources=[root])
    with garbage_collector_off():
        index = find_sources(root, split)
    for name in index.splits:
        check_split_folder(output / name)
    logger.info("Found in %s:\n%s", root, index.describe())
    _warn_of_names(index)
    if strict:
        for note in index.notes():
            if note.hides_data:
                raise RefusedError(f"{note.path}: {note.reason}" + (f" ({note.value})" if note.value else ""))
    output.mkdir(parents=True, exist_ok=True)
    converters = {
        name: ShardConverter(root, output / f".{name}.partial", index.archives, schema, labels_only, check_images)
        for name in index.splits
    }
    for leftover in output.glob(".*.partial"):
        if leftover not in [converter.folder for converter in converters.values()]:
            shutil.rmtree(leftover)
    try:
        results = _convert_all(index, converters, workers, strict)
        for name, converter in converters.items():
            drop_duplicates(name, converter, results[name], strict)
    except RefusedError:
        for converter in converters.values():
            shutil.rmtree(converter.folder, ignore_errors=True)
        raise
    shared = SharedIds(converters, results)
    earlier = earlier_splits(output, index.splits)
    if earlier:
        logger.warning(
            "%s also holds %s, of an earlier conversion: not converted now, left as it is. Remove what is not wanted.",
            output,
            ", ".join(earlier),
        )
    summary = {**_summary(index, results, shared, schema), "earlier_splits": earlier}
    for name, converter in converters.items():
        _finish_split(converter, results[name], index, os.path.relpath(root, output / name))
    problems = output / "problems.jsonl"
    kept = problems_of(problems, earlier)
    with new_path(problems, one_writer=True) as temporary:
        _write_problems(temporary, converters, results, chain(shared, index.notes()), kept)
        for name, converter in converters.items():
            replace_folder(converter.folder / "shards", output / name)
            shutil.rmtree(converter.folder)
    write_file(output / "summary.json", (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
    return summary


def _convert_all(
    index: SourceIndex, converters: dict[str, ShardConverter], workers: int, strict: bool
) -> dict[str, list[ShardResult]]:
    results: dict[str, list[ShardResult]] = {}
    with tqdm(total=len(index), unit=" annotations", desc="convert", smoothing=0.05) as bar:
        for name, converter in converters.items():
            for folder in ("shards", "done"):
                (converter.folder / folder).mkdir(parents=True, exist_ok=True)
            results[name] = []
            # Closed at once on an error: no worker writes any more when the folder is removed.
            with closing(map_in_order(converter, _jobs(index, name), workers)) as shard_results:
                for result in shard_results:
                    if strict and result.first_refused:
                        raise RefusedError(result.first_refused)
                    results[name].append(result)
                    bar.update(result.counts["annotations"])
            expected = {converter.paths(result.number)[0].name for result in results[name]}
            for path in (converter.folder / "shards").iterdir():
                if path.name not in expected:  # of a run over more files
                    path.unlink()
    reused = sum(result.reused for split in results.values() for result in split)
    if reused:
        logger.info("%d shards of an earlier run that was stopped were kept", reused)
    return results


def _warn_of_names(index: SourceIndex) -> None:
    misleading = index.misleading_names()
    for note in misleading[:MOST_WARNINGS]:
        logger.warning("%s %s: what it holds goes to %s", note.path, MISLEADING, note.split)
    if len(misleading) > MOST_WARNINGS:
        logger.warning("%d more such names stand in problems.jsonl", len(misleading) - MOST_WARNINGS)


def _jobs(index: SourceIndex, split: str) -> Iterator[Job]:
    labels, images = index.splits[split]
    for number, start in enumerate(range(0, len(labels), SHARD_SIZE)):
        rows = slice(start, start + SHARD_SIZE)
        yield Job(split, number, index.labels.take(labels[rows]), index.images.take(images[rows]))


def _finish_split(converter: ShardConverter, results: list[ShardResult], index: SourceIndex, image_root: str) -> None:
    meta = {
        "format": FORMAT,
        "schema": _schema_facts(converter.schema),
        "store_hash": store_hash(result.sha256 for result in results),
        "image_root": image_root.replace(os.sep, "/"),
        "zips": [archive._asdict() for archive in index.archives],
        "rows": [result.counts["images_out"] for result in results],
        **_total(results),
    }
    text = json.dumps(meta, indent=2, ensure_ascii=False) + "\n"
    write_file(converter.folder / "shards" / "meta.json", text.encode())


def _schema_facts(schema: AttributeSchema) -> dict[str, Any]:
    return {"name": schema.name, "version": schema.version, "hash": schema.hash}


def _total(results: list[ShardResult]) -> dict[str, int]:
    total: Counter = Counter()
    for result in results:
        total.update(result.counts)
    return {key: total[key] for key in COUNTS}


def _write_problems(
    path: Path,
    converters: dict[str, ShardConverter],
    results: dict[str, list[ShardResult]],
    notes: Iterable[Note],
    earlier: Iterable[bytes],
) -> None:
    with open(path, "wb") as file:
        for name, converter in converters.items():
            for result in results[name]:
                with open(converter.paths(result.number)[1], "rb") as lines:
                    shutil.copyfileobj(lines, file)
        for note in notes:
            problem = Problem("", "", note.reason, "noted", note.value)
            file.write(problem_line(note.split, note.path, problem).encode())
        file.writelines(earlier)


def _summary(
    index: SourceIndex, results: dict[str, list[ShardResult]], shared: Iterable[Note], schema: AttributeSchema
) -> dict[str, Any]:
    problems: Counter = Counter()
    for split in results.values():
        for result in split:
            problems.update(result.problems)
    problems.update((note.reason, "noted", note.unit) for note in chain(shared, index.notes()))
    summary = {
        "schema": _schema_facts(schema),
        "split_rules": [rule._asdict() for rule in index.split_rules],
        "splits": {
            name: {"images_found": index.num_images.get(name, 0), **_total(split)} for name, split in results.items()
        },
        "problems": [
            {"reason": reason, "action": action, "of": unit, "count": count}
            for (reason, action, unit), count in sorted(problems.items(), key=lambda item: (-item[1], item[0]))
        ],
    }
    _check_sums(summary, len(index))
    return summary


def _check_sums(summary: dict[str, Any], num_sources: int) -> None:
    """Check that the books balance; where they do not, we have a fault of our own."""
    splits = summary["splits"].values()
    assert sum(s["annotations"] for s in splits) == num_sources
    for name, unit in (("images_out", "annotations"), ("garments_out", "garments")):
        assert all(s[name] + s[f"{unit}_dropped"] == s[unit] for s in splits), summary
    for unit in ("annotations", "garments"):
        dropped = sum(p["count"] for p in summary["problems"] if p["action"] == "dropped" and p["of"] == unit)
        assert dropped == sum(s[f"{unit}_dropped"] for s in splits), summary


def summary_table(summary: dict[str, Any]) -> str:
    """Lay out the closing table of a conversion, for people."""
    from tabulate import tabulate

    header = ["split", "images found", "annotations", "= kept", "+ dropped", "garments", "= kept", "+ dropped"]
    rows = [
        [name, counts["images_found"], *(counts[key] for key in COUNTS)] for name, counts in summary["splits"].items()
    ]
    if len(rows) > 1:
        rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, len(header)))])
    text = tabulate(rows, headers=header, tablefmt="simple")
    text += "\n\n" + tabulate(
        [[r["split"], r["rule"], ", ".join(r["names"][:MOST_NAMES]), r["annotations"]] for r in summary["split_rules"]],
        headers=["split", "decided by", "names", "annotations"],
        tablefmt="simple",
    )
    for name, counts in summary["splits"].items():
        if not counts["images_out"]:
            text += f"\n\nThe split {name} is empty: none of its {counts['annotations']} annotations was kept."
    if summary["problems"]:
        problems = [[p["reason"], p["of"], p["action"], p["count"]] for p in summary["problems"]]
        text += "\n\n" + tabulate(problems, headers=["problem", "of", "action", "count"], tablefmt="simple")
    if summary["earlier_splits"]:
        text += f"\n\nAlso in the folder, of an earlier conversion: {', '.join(summary['earlier_splits'])}"
    return text
