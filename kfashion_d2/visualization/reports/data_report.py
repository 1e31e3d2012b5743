"""The data report: one self-contained page over what :func:`kfashion_d2.data.analyze_splits` counted."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...schema import CATEGORY_GROUP, AttributeSchema
from ..drawing.fonts import carry_hangul
from .data_plots import PLOTS, STATES, draw_plot

__all__ = ["write_data_report"]

_TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _percent(share: float | None) -> str:
    """Two digits that say something, and never 0 for what is there."""
    if share is None:
        return "–"
    if share == 0:
        return "0 %"
    return f"{100 * share:.1f} %" if share >= 0.1 else f"{100 * share:.2g} %" if share >= 1e-6 else "< 0.0001 %"


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _label_rows(summary: Mapping[str, Any], schema: AttributeSchema, group: str) -> list[dict[str, Any]]:
    """A group's labels, the commonest first; shares are of the garments that have a label of the group."""
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
    Args:
        output: path of the HTML file.
        summary: of :func:`kfashion_d2.data.analyze_splits`.
        schema: the one that it was counted with.
        title: the page's heading.
        thumbnails: (group, label) -> JPEG files. With them, the page says whose terms the photographs fall under.
        blurred: that faces in them were looked for and made unrecognisable.
    """
    from jinja2 import Environment, FileSystemLoader

    korean = {
        **{(CATEGORY_GROUP, label.name): label.korean for label in schema.categories.labels},
        **{("style", label.name): label.korean for label in schema.styles.labels},
        **{(group.name, label.name): label.korean for group in schema.groups for label in group.labels},
    }
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE.parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(percent=_percent, decimal=_decimal, thousands=lambda value: f"{value:,}")
    sheets: dict[str, list] = {}
    for (group, label), files in (thumbnails or {}).items():
        pictures = [_data_uri("jpeg", file) for file in files]
        sheets.setdefault(group, []).append((label, korean.get((group, label), ""), pictures))
    html = environment.get_template(_TEMPLATE.name).render(
        title=title,
        summary=summary,
        total=summary["total"],
        splits=summary["splits"],
        parts=schema.parts.labels,
        groups=_groups(summary, schema),
        korean=korean,
        plots={name: _data_uri("svg+xml", draw_plot(name, summary["total"], schema)) for name in PLOTS},
        sheets=sheets,
        blurred=blurred,
    )
    Path(output).write_text(carry_hangul(html), encoding="utf-8", errors="replace")
