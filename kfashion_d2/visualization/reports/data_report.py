"""
This module writes the data report: one self-contained page over what :func:`kfashion_d2.data.analyze_splits` counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...schema import CATEGORY_GROUP, AttributeSchema
from .data_plots import PLOTS, STATES, draw_plot
from .render import data_uri, render_page

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


def _groups(summary: Mapping[str, Any], schema: AttributeSchema) -> list[dict[str, Any]]:
    named = [(CATEGORY_GROUP, CATEGORY_GROUP, schema.keys["category"])]
    named += [(group.name, group.text("en"), group.korean) for group in schema.groups]
    groups = []
    for name, english, korean in named:
        states = summary["total"]["groups"][name]["states"]
        sums = {state: sum(own[state] for own in states.values()) for state in STATES}
        garments = sum(sums.values()) or 1
        groups.append(
            {
                "id": name,
                "name": english,
                "korean": korean,
                "states": [(state, sums[state], sums[state] / garments) for state in STATES],
                "rows": _label_rows(summary, schema, name),
            }
        )
    return groups


def write_data_report(
    output: str | Path,
    summary: Mapping[str, Any],
    schema: AttributeSchema,
    *,
    title: str = "K-Fashion data",
    thumbnails: Mapping[tuple[str, str], Sequence[bytes]] | None = None,
    blurred: bool = False,
) -> None:
    """
    Write what :func:`kfashion_d2.data.analyze_splits` counted as one HTML page.

    Args:
        output: path of the HTML file.
        summary: of :func:`kfashion_d2.data.analyze_splits`.
        schema: the one that it was counted with.
        title: the page's heading.
        thumbnails: (group, label) -> JPEG files. With them, the page says whose terms the photographs fall under.
        blurred: that faces in them were looked for and made unrecognisable.
    """
    korean = {
        **{(CATEGORY_GROUP, label.name): label.korean for label in schema.categories.labels},
        **{("style", label.name): label.korean for label in schema.styles.labels},
        **{(group.name, label.name): label.korean for group in schema.groups for label in group.labels},
    }
    sheets: dict[str, list] = {}
    for (group, label), files in (thumbnails or {}).items():
        pictures = [data_uri("jpeg", file) for file in files]
        sheets.setdefault(group, []).append((label, korean.get((group, label), ""), pictures))
    render_page(
        output,
        "report.html.j2",
        title=title,
        summary=summary,
        total=summary["total"],
        splits=summary["splits"],
        parts=schema.parts.labels,
        groups=_groups(summary, schema),
        korean=korean,
        plots={name: data_uri("svg+xml", draw_plot(name, summary["total"], schema)) for name in PLOTS},
        sheets=sheets,
        blurred=blurred,
    )
