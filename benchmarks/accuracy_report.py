"""
Make the report of the ablation: metrics of the stored scores, their means over the seeds, tables and a plot.

Shapes: G garments of the validation split, L labels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from kfashion_d2.data.statistics.label_statistics import label_counts
from kfashion_d2.data.store.dataset import KFashionDataset
from kfashion_d2.evaluation.attributes.frequency_bands import BANDS, band_means
from kfashion_d2.evaluation.attributes.label_table import label_table
from kfashion_d2.schema import AttributeSchema, kfashion_schema
from kfashion_d2.utils.arrays import mean_of_measured

from .accuracy_plot import plot_ablation
from .accuracy_variants import GROUPS, VARIANTS

__all__ = ["run_metrics", "score_metrics", "tables", "tuned_macro_f1", "write_report"]

SCORES = ("gt_boxes", "gt_boxes_found_class", "detections")
_THRESHOLDS = [i / 20 for i in range(1, 20)]
Results = dict[str, list[dict[str, float]]]
BEGIN, END = "<!-- tables: written by tools/benchmark.py accuracy -->", "<!-- end of the tables -->"


def score_metrics(
    scores: np.ndarray, targets: np.ndarray, counts: np.ndarray, schema: AttributeSchema
) -> dict[str, float]:
    """
    Compute the metrics of a run's scores.

    Args:
        scores: float (G, L).
        targets: int8 (G, L).
        counts: int (2, L): of the training set, garments that have the label and garments of which it is known.

    Returns:
        dict, in per cent: "macro_f1" and "mAP", the mean over the groups of the mean over a group's labels (of
        single-label groups, each label against the others); "tuned_macro_f1", the first with multi-label groups as in
        :func:`tuned_macro_f1`; "f1_<band>" and "ap_<band>", the mean over all labels of a band; "<group>/macro_f1";
        "accuracy", the mean over the single-label groups.
    """
    table = label_table(scores, targets, schema, label_counts=counts)
    f1, ap = table.f1, table.average_precision
    columns_of = {group.name: schema.slice(group.name) for group in schema.groups}
    result = {f"{name}/macro_f1": mean_of_measured(f1[columns]) for name, columns in columns_of.items()}
    result["macro_f1"] = mean_of_measured(result.values())
    result["mAP"] = mean_of_measured(mean_of_measured(ap[columns]) for columns in columns_of.values())
    single = [group.name for group in schema.groups if group.is_single]
    tuned = [
        tuned_macro_f1(scores[:, columns], targets[:, columns], schema.subset([name]))
        for name, columns in columns_of.items()
        if name not in single
    ]
    result["tuned_macro_f1"] = mean_of_measured([*(result[f"{name}/macro_f1"] for name in single), *tuned])
    right, known = table.right, table.known
    result["accuracy"] = mean_of_measured(
        right[columns_of[name]].sum() / (known[columns_of[name]][0] or math.nan) for name in single
    )
    for name, values in {"f1": f1, "ap": ap}.items():
        means = band_means(values, table.bands, schema)["all"]
        result.update((f"{name}_{band}", means[band][0]) for band in BANDS)
    return {name: 100 * value for name, value in result.items()}


def tuned_macro_f1(scores: np.ndarray, targets: np.ndarray, group: AttributeSchema) -> float:
    """
    Compute the macro-F1, 0 to 1, of a multi-label group's columns at the best threshold: for the odd garments that of
    the even ones, and the reverse.
    """

    def macro_f1(rows: slice, threshold: float) -> float:
        return mean_of_measured(label_table(scores[rows], targets[rows], group, threshold).f1)

    even, odd = slice(0, None, 2), slice(1, None, 2)
    return mean_of_measured(
        macro_f1(test, max(_THRESHOLDS, key=lambda threshold: macro_f1(tune, threshold)))
        for tune, test in ((even, odd), (odd, even))
    )


def run_metrics(folder: Path) -> Results:
    """
    Return variant -> for each seed that finished: :func:`score_metrics` under each name of SCORES, box AP, times and
    sizes.
    """
    schema = kfashion_schema().subset(GROUPS)
    by_class = label_counts(KFashionDataset(folder / "store" / "train", classes="category_or_part"), schema)
    counts = np.stack([count.sum(axis=0) for count in by_class])
    results: Results = {}
    for name in VARIANTS:
        for path in sorted((folder / "runs").glob(f"{name}_[0-9]*.json")):
            run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            row = {"AP": run["bbox"]["AP"], "AP50": run["bbox"]["AP50"], "ms": 1000 * run["cpu_seconds"]}
            row["test_ms"], row["parameters"] = 1000 * run["test_cpu_seconds"], run["parameters"] / 1e6
            with np.load(path.with_suffix(".npz")) as stored:
                targets, matched = stored["targets"], stored["matched"]
                row["matched"] = 100 * float(matched.mean())
                for kind in SCORES:
                    rows = matched if kind == "detections" else slice(None)
                    metrics = score_metrics(stored[kind][rows], targets[rows], counts, schema)
                    row.update((f"{kind}/{metric}", value) for metric, value in metrics.items())
            results.setdefault(name, []).append(row)
    return results


def _cell(rows: Sequence[dict[str, float]], metric: str, digits: int = 1) -> str:
    """Write the mean and, of several seeds, the standard deviation (n - 1)."""
    values = [row[metric] for row in rows if not math.isnan(row[metric])]
    if not values:
        return "-"
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


_ON_TRUE_BOXES = {
    "macro-F1": "gt_boxes/macro_f1",
    "tuned": "gt_boxes/tuned_macro_f1",
    "mAP": "gt_boxes/mAP",
    "F1 head": "gt_boxes/f1_head",
    "F1 mid": "gt_boxes/f1_mid",
    "F1 tail": "gt_boxes/f1_tail",
    "accuracy": "gt_boxes/accuracy",
    "box AP50": "AP50",
    "CPU ms": "ms",
}
_ELSEWHERE = {
    "found class: macro-F1": "gt_boxes_found_class/macro_f1",
    "mAP": "gt_boxes_found_class/mAP",
    "detections: macro-F1": "detections/macro_f1",
    "mAP ": "detections/mAP",
    "garments found": "matched",
    "box AP": "AP",
    "CPU ms, test": "test_ms",
    "M parameters": "parameters",
}
_PER_GROUP = {name.replace("_", " "): f"gt_boxes/{name}/macro_f1" for name in GROUPS}
_BANDED = {f"AP {band}": f"gt_boxes/ap_{band}" for band in BANDS}


def _table(results: Results, columns: dict[str, str], *, steps: bool) -> str:
    lines = []
    for name, rows in results.items():
        variant = VARIANTS[name]
        if variant.steps == steps:
            cells = [_cell(rows, metric, digits=0 if metric.endswith("ms") else 1) for metric in columns.values()]
            lines.append([variant.title, *cells, len(rows)])
    header = ["K-COORD's recipe, step by step" if steps else "changes of the default", *columns, "seeds"]
    return tabulate(lines, headers=header, tablefmt="github", disable_numparse=True)


def tables(results: Results) -> str:
    """Lay out all results as Markdown: each set of columns for the steps and for the single changes."""
    sections = {
        "On true boxes": _ON_TRUE_BOXES,
        "With the class found, and on detections": _ELSEWHERE,
        "Macro-F1 of each group, on true boxes; AP by band": {**_PER_GROUP, **_BANDED},
    }
    return "\n\n".join(
        f"### {title}\n\n{_table(results, columns, steps=True)}\n\n{_table(results, columns, steps=False)}"
        for title, columns in sections.items()
    )


def write_report(folder: Path, docs: Path | None) -> str:
    """
    Write the report of all runs that finished.

    Args:
        folder: of the runs.
        docs: gets the tables into its ``ablation.md``, between two marks (or at the end of it, with the marks), and the
            plot into ``images/ablation.png``; None: neither.

    Returns:
        The tables.
    """
    results = run_metrics(folder)
    text = tables(results)
    if docs is not None:
        (docs / "images").mkdir(parents=True, exist_ok=True)
        page = docs / "ablation.md"
        before = page.read_text(encoding="utf-8") if page.is_file() else "# The ablation\n\n![](images/ablation.png)\n"
        page.write_text(_between_marks(before, text), encoding="utf-8")
        plot_ablation(results, docs / "images" / "ablation.png")
    return text


def _between_marks(page: str, text: str) -> str:
    if BEGIN not in page:
        page = f"{page.rstrip()}\n\n{BEGIN}\n{END}\n"
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"
