"""
This module says what a converted data set holds, counted from its Arrow columns; no dataset dict is made.

Shapes: N images, G garments, P parts, C label columns, Q groups of them (see label_columns.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...schema import AttributeSchema
from ..store.dataset import KFashionDataset
from .cooccurrence import Cooccurrence
from .label_columns import STYLE_GROUP, LabelColumns
from .problem_counts import count_problems, count_read, count_shared_names
from .split_counts import SplitCounts

__all__ = ["analyze_splits", "open_splits"]

# name -> edges of its histogram
EDGES = {
    "width": np.arange(0, 1620, 20),
    "height": np.arange(0, 1620, 20),
    "relative_size": np.linspace(0, 1, 41),
    "aspect_ratio": 2 ** np.linspace(-4, 4, 65),
    "vertices": np.arange(0, 205, 5),
    "fill": np.linspace(0, 1, 41),
    "rect_iou": np.linspace(0, 1, 101),
}
AGREEMENT = (0.5, 0.8, 0.9, 0.95)  # IoU of rect and polygon below which garments are counted
OUTSIDE = (0, 0.5, 1, 5, 20)  # pixels beyond the image; half a pixel is how the labelling tool draws a rect
SIZE_LIMITS = (32**2, 96**2)  # pixels: COCO's small, medium and large
NUM_PAIRS, NUM_IMAGE_SIZES, NUM_KEYS = 15, 40, 8
LEAST_PAIR, LEAST_PAIR_SHARE = 10, 1e-4  # garments that a pair must have: this many, and this share of the part's
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def open_splits(
    folder: str | Path, *, schema: AttributeSchema | None = None, image_root: str | Path | None = None
) -> dict[str, KFashionDataset]:
    """
    Open the splits of a converted data set, by name; a folder that is itself a split gives that one.

    Raises:
        FileNotFoundError: there is none.
        ValueError: as :class:`KFashionDataset` says.
    """
    folder = Path(folder)
    is_split = (folder / "meta.json").is_file()
    split_dirs = [folder] if is_split else sorted(path.parent for path in folder.glob("[!.]*/meta.json"))
    if not split_dirs:
        raise FileNotFoundError(
            f"{folder} holds no converted split; make one with 'python tools/convert_kfashion.py DATA_ROOT "
            "--output DIR' and give DIR"
        )
    return {path.resolve().name: KFashionDataset(path, schema=schema, image_root=image_root) for path in split_dirs}


def analyze_splits(splits: Mapping[str, KFashionDataset], problems: str | Path | None = None) -> dict[str, Any]:
    """
    Count everything that the data report shows.

    Args:
        splits: of one schema, by name.
        problems: the conversion's problems.jsonl, where there is one.

    Returns:
        What JSON can hold: "schema"; "total" and "splits" (name -> the same), each as :func:`_describe` gives it;
        "duplicates", see :func:`count_shared_names`; "problems", see :func:`count_problems`, None without the file;
        "answers", what is asked most, each with `question`, `count`, `of`, `share` and `where` (keys with their
        counts, or "").

    Raises:
        ValueError: there is no split, or the file of problems is none.
    """
    if not splits:
        raise ValueError("no split to analyse")
    schema = next(iter(splits.values())).schema
    columns = LabelColumns(schema)
    counts = {name: SplitCounts(columns, schema) for name in splits}
    total = SplitCounts(columns, schema)
    with tqdm(total=sum(map(len, splits.values())), unit=" images", desc="count", smoothing=0.05) as bar:
        for name, dataset in splits.items():
            for shard in dataset.shards():
                counts[name].add_shard(shard)
                bar.update(len(shard.offsets) - 1)
            total.add(counts[name])
    described = _describe(total, schema)
    listed = count_problems(problems, splits) if problems else None
    return {
        "schema": {"name": schema.name, "version": schema.version, "hash": schema.hash},
        "total": described,
        "splits": {name: _describe(split_counts, schema) for name, split_counts in counts.items()},
        "duplicates": count_shared_names(splits),
        "problems": listed,
        "answers": _answers(described, listed, splits),
    }


def _describe(counts: SplitCounts, schema: AttributeSchema) -> dict[str, Any]:
    """
    Turn counts into a summary of plain values.

    Returns:
        "images", "garments", "images_without_garment", "images_without_file"; "garments_per_image" (number -> images);
        "parts" (part -> "garments", "images"); "part_combinations" ("top+bottom" -> images); "groups", category too
        (see :func:`_group`); "styles", "sub_styles" (label -> images, "unknown" last), "style_pairs"; "label_pairs"
        (part -> pairs on a garment), "category_pairs" (in an image); "boxes", "polygons", "rects" (see
        :func:`_rects`); "image_sizes", the commonest.
    """
    parts = [part.name for part in schema.parts.labels]
    styles = [*(style.name for style in schema.styles.labels), "unknown"]
    num_images = int(counts.combinations.sum())
    names = {
        mask: "+".join(part for p, part in enumerate(parts) if mask >> p & 1) or "nothing"
        for mask in range(len(counts.combinations))
    }
    by_size = sorted(names, key=lambda mask: (-counts.combinations[mask], mask))
    garments = {
        name: np.concatenate([np.zeros(0, dtype=np.float32), *pieces]) for name, pieces in counts.garments.items()
    }
    return {
        "images": num_images,
        "garments": int(counts.parts.sum()),
        "images_without_garment": int(counts.combinations[0]),
        "images_without_file": counts.without_image,
        "garments_per_image": {str(number): counts.per_image[number] for number in sorted(counts.per_image)},
        "parts": {
            part: {"garments": int(counts.parts[p]), "images": int(counts.part_images[p])}
            for p, part in enumerate(parts)
        },
        "part_combinations": {names[m]: int(counts.combinations[m]) for m in by_size if counts.combinations[m]},
        "groups": {name: _group(counts, schema, name) for name in counts.columns.group_names if name != STYLE_GROUP},
        "styles": dict(zip(styles, counts.styles.sum(axis=1).tolist(), strict=True)),
        "sub_styles": dict(zip(styles, counts.styles.sum(axis=0).tolist(), strict=True)),
        "style_pairs": _style_pairs(counts.styles[:-1, :-1], styles),
        "label_pairs": {
            part: _name_pairs(pairs, counts.columns.labels, int(counts.parts[p]))
            for p, (part, pairs) in enumerate(zip(parts, counts.pairs, strict=True))
        },
        "category_pairs": _name_pairs(
            counts.image_pairs, [("category", label) for label in schema.categories.labels], num_images
        ),
        "boxes": {
            "by_size": _by_size(garments["area"]),
            **{name: _spread(garments, name, parts) for name in ("width", "height", "relative_size", "aspect_ratio")},
        },
        "polygons": {
            "sound": int((garments["vertices"] > 0).sum()),
            "num_vertices": int(garments["vertices"].sum(dtype=np.float64)),
            **{name: _spread(garments, name, parts, garments["vertices"] > 0) for name in ("vertices", "fill")},
        },
        "rects": _rects(garments, parts),
        "image_sizes": [
            {"width": width, "height": height, "count": count}
            for (width, height), count in sorted(counts.sizes.items(), key=lambda item: (-item[1], item[0]))
        ][:NUM_IMAGE_SIZES],
        "different_image_sizes": len(counts.sizes),
    }


def _style_pairs(table: np.ndarray, names: list[str]) -> list[dict[str, Any]]:
    order = np.argsort(-table, axis=None, kind="stable")[:NUM_PAIRS]
    styles, sub_styles = (axis.tolist() for axis in np.unravel_index(order, table.shape))
    return [
        {"style": names[a], "sub_style": names[b], "count": int(table[a, b])}
        for a, b in zip(styles, sub_styles, strict=True)
        if table[a, b]
    ]


def _group(counts: SplitCounts, schema: AttributeSchema, name: str) -> dict[str, Any]:
    """
    Summarise a group: "states": part -> garments by what is known of the group: "labelled", "none", "unknown" or
    "not_applicable", which add up to the part's garments; "labels": label -> part -> garments, without parts that have
    none.
    """
    q = counts.columns.group_names.index(name)
    columns = counts.columns.slice(name)
    states, labels = {}, {}
    for p, part in enumerate(schema.parts.labels):
        garments, known, none = int(counts.parts[p]), int(counts.known[p, q]), int(counts.empty[p, q])
        applies = name not in schema.group_names or part in schema.group(name).part_labels
        states[part.name] = {
            "labelled": known - none,
            "none": none,
            "unknown": garments - known if applies else 0,
            "not_applicable": 0 if applies else garments,
        }
    for column in range(columns.start, columns.stop):
        if not counts.columns.none[column]:
            label = counts.columns.labels[column][1]
            by_part = counts.labels[:, column].tolist()
            labels[label.name] = {p.name: n for p, n in zip(schema.parts.labels, by_part, strict=True) if n}
    return {"states": states, "labels": labels}


def _name_pairs(pairs: Cooccurrence, labels: list, rows: int) -> list[dict[str, Any]]:
    named = []
    for pair in pairs.strongest(NUM_PAIRS, max(LEAST_PAIR, round(LEAST_PAIR_SHARE * rows))):
        (group, label), (other_group, other) = labels[pair.first], labels[pair.second]
        named.append({**pair._asdict(), "first": [group, label.name], "second": [other_group, other.name]})
    return named


def _by_size(area: np.ndarray) -> dict[str, int]:
    positions = np.bincount(np.searchsorted(SIZE_LIMITS, area, side="right"), minlength=3)
    return dict(zip(("small", "medium", "large"), positions.tolist(), strict=True))


def _spread(
    garments: dict[str, np.ndarray], name: str, parts: list[str], keep: np.ndarray | None = None
) -> dict[str, Any]:
    """
    Summarise how values are spread.

    Returns:
        "percentiles"; a histogram's "edges", "counts" in it, part -> garments. What lies beyond is in the end bins.
    """
    values, part_ids = garments[name], garments["part"]
    if keep is not None:
        values, part_ids = values[keep], part_ids[keep]
    edges = EDGES[name]
    inside = np.clip(values, edges[0], edges[-1])
    percentiles = np.percentile(values, PERCENTILES).tolist() if len(values) else [None] * len(PERCENTILES)
    return {
        "percentiles": dict(zip(map(str, PERCENTILES), percentiles, strict=True)),
        "edges": edges.tolist(),
        "counts": {part: np.histogram(inside[part_ids == p], edges)[0].tolist() for p, part in enumerate(parts)},
    }


def _rects(garments: dict[str, np.ndarray], parts: list[str]) -> dict[str, Any]:
    """
    Summarise the rects as the files have them, of garments that were kept.

    Returns:
        "compared": garments with a rect and a polygon's bounds; "rect_iou": a spread of their agreement; "below":
        IoU -> garments that agree less. "given": garments with a rect that has an area; "beyond": pixels -> garments
        whose rect leaves the image by more.
    """
    iou, outside = garments["rect_iou"], garments["rect_outside"]
    return {
        "compared": int((~np.isnan(iou)).sum()),
        "rect_iou": _spread(garments, "rect_iou", parts, ~np.isnan(iou)),
        "below": {str(limit): int((iou < np.float32(limit)).sum()) for limit in AGREEMENT},
        "given": int((~np.isnan(outside)).sum()),
        "beyond": {str(limit): int((outside > limit).sum()) for limit in OUTSIDE},
    }


QUESTIONS = {  # -> the reason in problems.jsonl, of garments
    "rect without area (a side of zero or less)": "rect without area",
    "rect incomplete (a number is missing)": "rect incomplete",
    "rect outside the image altogether": "rect outside the image",
    "rect leaves the image, and is the garment's box": "rect leaves the image",
    "polygon leaves the image": "polygon leaves the image",
    "polygon ends in stray (0, 0) vertices": "stray (0, 0) at the polygon's end",
    "polygon and rect disagree (IoU below 0.8)": "polygon and rect disagree",
    "polygon unsound (fewer than three points, or no area)": "polygon unsound",
    "polygon with a point that is incomplete": "polygon point incomplete",
    "no polygon": "no polygon",
    "no rect": "no rect",
    "no geometry at all": "no geometry",
}


def _answers(
    total: dict[str, Any], problems: list[dict[str, Any]] | None, splits: Mapping[str, KFashionDataset]
) -> list[dict[str, Any]]:
    read = count_read(splits)
    unknown = sum(states["unknown"] for states in total["groups"]["category"]["states"].values())
    rects, polygons = total["rects"], total["polygons"]
    answers = [
        ("garments whose category is unknown (no expert saw them)", unknown, "garments kept", total["garments"], ""),
        ("garments with a sound polygon", polygons["sound"], "garments kept", total["garments"], ""),
        ("images without a garment", total["images_without_garment"], "images kept", total["images"], ""),
    ]
    answers += [
        (f"rect and polygon agree less than IoU {limit}", count, "garments with both", rects["compared"], "")
        for limit, count in rects["below"].items()
    ]
    answers += [
        (f"rect leaves the image by more than {limit} pixels", count, "garments with a rect", rects["given"], "")
        for limit, count in rects["beyond"].items()
    ]
    if problems is not None:
        counts: Counter = Counter()
        sums: Counter = Counter()
        keys: dict[str, Counter] = defaultdict(Counter)
        for problem in problems:
            counts[problem["reason"], problem["of"]] += problem["count"]
            sums[problem["reason"]] += problem["sum"]
            keys[problem["reason"]].update(problem["keys"])
        for question, reason in QUESTIONS.items():
            answers.append((question, counts[reason, "garments"], "garments read", read["garments"], ""))
        stray = sums["stray (0, 0) at the polygon's end"]
        vertices = polygons["num_vertices"] + stray
        answers.append(("stray (0, 0) vertices", stray, "vertices, those of sound polygons and these", vertices, ""))
        spaces = counts["no-break space", "annotations"]
        where = ", ".join(f"{key}: {count:,}" for key, count in keys["no-break space"].most_common(NUM_KEYS))
        answers.append(("annotations with a no-break space", spaces, "annotations read", read["annotations"], where))
    return [
        {"question": question, "count": count, "of": base_name, "share": count / base if base else None, "where": where}
        for question, count, base_name, base, where in answers
    ]
