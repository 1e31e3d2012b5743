"""
This module counts what the converter wrote into problems.jsonl, by reason; and file names that stand for more than one
image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ..store.dataset import KFashionDataset

__all__ = ["count_problems", "count_read", "count_shared_names", "look_names"]

LOOK = r"^(?P<look>.+_[0-9]{3})_[0-9]{2}\.[A-Za-z]+$"  # PREFIX_NNN_MM.jpg: NNN is the look
NUM_EXAMPLES, NUM_VALUES = 5, 20
MOST_VALUES = 100_000  # different ones of a reason that are counted: what is free text must not fill the memory
MOST_CHARACTERS = 80  # of a value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def count_read(splits: Mapping[str, KFashionDataset]) -> dict[str, int]:
    """Count the `annotations` and `garments` that the conversion read, those that it dropped too."""
    units = ("annotations", "garments")
    return {unit: sum(dataset.meta.get(unit, 0) for dataset in splits.values()) for unit in units}


def count_problems(path: str | Path, splits: Mapping[str, KFashionDataset]) -> list[dict[str, Any]]:
    """
    Count the lines of problems.jsonl by reason.

    Args:
        path: of problems.jsonl.
        splits: those to report on; lines of others that lie beside the file are left out.

    Returns:
        For every reason, action and thing it is about, the commonest first: `reason`, `action` ("dropped", "repaired",
        "noted"), `of` ("annotations" or "garments"), `count`, `share` (of the annotations or garments that were read),
        `sum` (of values that are whole numbers), `splits` (split -> count), `keys` (the JSON keys -> count), `values`
        ([value, count], the commonest), `examples` ({"path", "part", "key", "value"}, the first).

    Raises:
        ValueError: a line is not one that the converter writes.
    """
    counts_by_kind: dict[tuple[str, str, str], dict[str, Any]] = {}
    # A split that could not be read at all has lines but no folder: they are told with any other.
    others = {position.parent.name for position in Path(path).parent.glob("*/meta.json")} - splits.keys()
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = orjson.loads(line)
                split, reason, action, part = (entry[key] for key in ("split", "reason", "action", "part"))
                key, value = entry["key"], entry["value"]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise ValueError(
                    f"{path}, line {number} is no problem of a conversion: convert the data again"
                ) from None
            if split in others:
                continue
            kind = (reason, action, "garments" if part else "annotations")
            if kind not in counts_by_kind:
                counts_by_kind[kind] = {
                    "splits": Counter(),
                    "keys": Counter(),
                    "values": Counter(),
                    "sum": 0,
                    "examples": [],
                }
            counts = counts_by_kind[kind]
            counts["splits"][split] += 1
            if key:
                counts["keys"][key] += 1
            if type(value) is int:
                counts["sum"] += value
            shown = "" if value is None else _short(value)
            if value is not None and (len(counts["values"]) < MOST_VALUES or shown in counts["values"]):
                counts["values"][shown] += 1
            if len(counts["examples"]) < NUM_EXAMPLES:
                counts["examples"].append({"path": entry["path"], "part": part, "key": key, "value": shown})
    read = count_read(splits)
    problems = []
    for (reason, action, unit), counts in counts_by_kind.items():
        count = counts["splits"].total()
        problems.append(
            {
                "reason": reason,
                "action": action,
                "of": unit,
                "count": count,
                "share": count / read[unit] if read[unit] else None,
                "sum": counts["sum"],
                "splits": dict(counts["splits"]),
                "keys": dict(counts["keys"].most_common()),
                "values": [list(item) for item in counts["values"].most_common(NUM_VALUES)],
                "examples": counts["examples"],
            }
        )
    return sorted(problems, key=lambda problem: (-problem["count"], problem["reason"], problem["action"]))


def _counted(texts: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """Return the different texts, without null and empty ones, and how often each occurs."""
    counted = texts.filter(pc.fill_null(pc.not_equal(texts, ""), False)).value_counts()
    return counted.field("values"), counted.field("counts").to_numpy()


def look_names(names: pa.ChunkedArray) -> pa.Array:
    """Return `PREFIX_NNN` of each original file name; null where it has another form."""
    return pc.struct_field(pc.extract_regex(names.combine_chunks(), LOOK), "look")


def count_shared_names(splits: Mapping[str, KFashionDataset]) -> dict[str, Any]:
    """
    Count names that several images share. Original file names are not unique, and `PREFIX_NNN` of `PREFIX_NNN_MM.jpg`
    is a look that was photographed often.

    Returns:
        "within": split -> `names_shared` (names of more than one image), `images_sharing` (images with such a name),
        `looks`, `images_of_looks`; "across": for each pair of splits `splits`, `ids`, `names` and `looks` that both
        have.
    """
    names, looks, ids, within = {}, {}, {}, {}
    for split, dataset in splits.items():
        columns = [shard.batch.column("original_file_name") for shard in dataset.shards()]
        texts = pa.chunked_array(columns, pa.string())
        names[split], name_counts = _counted(texts)
        looks[split], look_counts = _counted(look_names(texts))
        ids[split] = np.unique(dataset.image_ids)
        shared = name_counts[name_counts > 1]
        within[split] = {
            "names_shared": len(shared),
            "images_sharing": int(shared.sum()),
            "looks": len(look_counts),
            "images_of_looks": int(look_counts.sum()),
        }
    across = [
        {
            "splits": [a, b],
            "ids": len(np.intersect1d(ids[a], ids[b], assume_unique=True)),
            "names": int(pc.sum(pc.is_in(names[a], value_set=names[b])).as_py() or 0),
            "looks": int(pc.sum(pc.is_in(looks[a], value_set=looks[b])).as_py() or 0),
        }
        for a, b in combinations(splits, 2)
    ]
    return {"within": within, "across": across}
