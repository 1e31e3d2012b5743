"""
This module writes the data report: one self-contained page over what :func:`kfashion_d2.data.analyze_splits` counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...schema import CATEGORY_GROUP, AttributeSchema
from ..drawing.fonts import find_hangul_font
from .data_plots import PLOTS, STATES, draw_plot
from .evaluation_tables import pair
from .render import data_uri, render_page
from .words import words

__all__ = ["write_data_report"]


def _label_rows(summary: Mapping[str, Any], schema: AttributeSchema, group: str) -> list[dict[str, Any]]:
    """List a group's labels, the commonest first; shares are of the garments that have a label of the group."""
    index_of = schema.categories if group == CATEGORY_GROUP else schema.group(group).index_of
    total = summary["total"]["groups"][group]

    def labelled(counted: Mapping[str, Any]) -> int:
        return sum(states["labelled"] for states in counted["groups"][group]["states"].values())

    rows = []
    for label in index_of.labels:
        if label.name not in total["labels"]:  # "none" is a state
            continue
        by_part = total["labels"][label.name]
        count = sum(by_part.values())
        rows.append(
            {
                "label": label,
                "count": count,
                "share": count / (labelled(summary["total"]) or 1),
                "by_part": [by_part.get(part.name, 0) for part in schema.parts.labels],
                "by_split": [
                    sum(split["groups"][group]["labels"][label.name].values()) / (labelled(split) or 1)
                    for split in summary["splits"].values()
                ],
            }
        )
    return sorted(rows, key=lambda row: -row["count"])


def _group_names(schema: AttributeSchema) -> dict[str, tuple[str, str]]:
    """Name the category and the attribute groups in both languages."""
    category = (CATEGORY_GROUP, schema.keys["category"])
    return {CATEGORY_GROUP: category, **{group.name: pair(group) for group in schema.groups}}


def _plots(total: Mapping[str, Any], schema: AttributeSchema) -> dict[str, dict[str, str]]:
    """Draw each plot in the languages that can be drawn, as URIs."""
    languages = ("en",) if find_hangul_font() is None else ("en", "ko")
    return {
        name: {language: data_uri("svg+xml", draw_plot(name, total, schema, language)) for language in languages}
        for name in PLOTS
    }


def _groups(summary: Mapping[str, Any], schema: AttributeSchema) -> list[dict[str, Any]]:
    groups = []
    for name, title in _group_names(schema).items():
        by_part = summary["total"]["groups"][name]["states"]
        sums = {state: sum(counts[state] for counts in by_part.values()) for state in STATES}
        garments = sum(sums.values()) or 1
        groups.append(
            {
                "name": title,
                "states": [
                    (words(state.replace("_", " "), "state"), sums[state], sums[state] / garments) for state in STATES
                ],
                "rows": _label_rows(summary, schema, name),
            }
        )
    return groups


def write_data_report(
    output: str | Path,
    summary: Mapping[str, Any],
    schema: AttributeSchema,
    *,
    language: str = "en",
    title: str | None = None,
    thumbnails: Mapping[tuple[str, str], Sequence[bytes]] | None = None,
    blurred: bool = False,
) -> None:
    """
    Write what :func:`kfashion_d2.data.analyze_splits` counted as one HTML page.

    Args:
        output: path of the HTML file.
        summary: of :func:`kfashion_d2.data.analyze_splits`.
        schema: the one that it was counted with.
        language: "en" or "ko", in which it opens; a switch changes it.
        title: the page's heading.
        thumbnails: (group, label) -> JPEG files. With them, the page says whose terms the photographs fall under.
        blurred: that faces in them were looked for and made unrecognisable.

    Raises:
        ValueError: there is no such language.
    """
    names = {
        **{(CATEGORY_GROUP, label.name): pair(label) for label in schema.categories.labels},
        **{("style", label.name): pair(label) for label in schema.styles.labels},
        **{(group.name, label.name): pair(label) for group in schema.groups for label in group.labels},
    }
    sheets: dict[str, list] = {}
    for (group, label), files in (thumbnails or {}).items():
        pictures = [data_uri("jpeg", file) for file in files]
        sheets.setdefault(group, []).append((names.get((group, label), (label, label)), pictures))
    render_page(
        output,
        "data_report.html.j2",
        language=language,
        heading=(title, title) if title else words("K-Fashion data"),
        summary=summary,
        total=summary["total"],
        splits=summary["splits"],
        parts=schema.parts.labels,
        groups=_groups(summary, schema),
        group_names={"style": words("style"), **_group_names(schema)},
        names=names,
        plots=_plots(summary["total"], schema),
        sheets=sheets,
        blurred=blurred,
    )
