"""
This module draws the plots of the data report, from its summary, as SVG files. Their letters are outlines, so no font
is needed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter

from ...schema import CATEGORY_GROUP, AttributeSchema, Label
from ..drawing.fonts import find_hangul_font
from .words import words

__all__ = ["PLOTS", "STATES", "draw_plot"]

PART_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
STATES = {  # how much of a group is known: colour
    "labelled": "#0072B2",
    "none": "#56B4E9",
    "unknown": "#E69F00",
    "not_applicable": "#DDDDD6",
}
BAR = 0.27  # inches of height for each bar


def _color(position: int) -> str:
    return PART_COLORS[position % len(PART_COLORS)]


def _count(value: float, _: Any = None) -> str:
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k" if value >= 1e4 else f"{value:g}"


def _text(english: str, language: str, context: str = "", **values: Any) -> str:
    return words(english, context, **values)[language == "ko"]


def _finish(figure: Figure) -> bytes:
    font = find_hangul_font()
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        if font is not None:
            text.set_fontproperties(FontProperties(fname=str(font), size=text.get_fontsize()))
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "kfashion_d2"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_axisbelow(True)
    return figure, axes


def _bars(axis: Any, names: Sequence[str], values: Sequence[float], colors: Any) -> None:
    """Draw horizontal bars, from top to bottom, each with its number and its share."""
    positions = np.arange(len(names))
    axis.barh(positions, values, color=colors, height=0.72)
    total = sum(values) or 1
    for position, value in zip(positions, values, strict=True):
        text = f"{value:,} ({value / total:.1%})"
        axis.annotate(text, (value, position), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set_yticks(positions, names, fontsize=9)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlim(0, 1.34 * max(values, default=1) or 1)
    axis.xaxis.set_major_formatter(FuncFormatter(_count))
    axis.grid(axis="x", alpha=0.3)


def _plot_combinations(total: Mapping[str, Any], schema: AttributeSchema, language: str) -> Figure:
    combinations = total["part_combinations"]
    names = {part.name: part.text(language) for part in schema.parts.labels}
    names["nothing"] = _text("nothing", language, "parts")
    titles = [" + ".join(names.get(part, part) for part in combination.split("+")) for combination in combinations]
    figure, (left, right) = _figure(11, max(0.9 + BAR * len(combinations), 2.4), 2)
    _bars(left, titles, list(combinations.values()), "#555555")
    left.set(title=_text("parts in an image", language), xlabel=_text("images", language, "count"))
    numbers = total["garments_per_image"]
    _bars(right, list(numbers), list(numbers.values()), "#555555")
    right.set(title=_text("garments in an image", language), xlabel=_text("images", language, "count"))
    return figure


def _plot_categories(total: Mapping[str, Any], schema: AttributeSchema, language: str) -> Figure:
    labels = schema.categories.labels
    counts = total["groups"][CATEGORY_GROUP]
    names, values, colors = [], [], []
    for p, part in enumerate(schema.parts.labels):
        garments = [
            (sum(counts["labels"][labels[c]].values()), c) for c, q in enumerate(schema.category_parts) if q == p
        ]
        for value, c in sorted(garments, key=lambda item: (-item[0], item[1])):
            names.append(labels[c].text(language))
            values.append(value)
            colors.append(_color(p))
        names.append(_text("{part}: unknown", language, part=(part.text("en"), part.text("ko"))))
        values.append(counts["states"][part]["unknown"])
        colors.append("#999999")
    figure, (axis,) = _figure(9, 0.9 + BAR * len(names))
    _bars(axis, names, values, colors)
    axis.set(xlabel=_text("garments; the colours are the parts, grey is unknown", language))
    return figure


def _plot_states(total: Mapping[str, Any], schema: AttributeSchema, language: str) -> Figure:
    parts = schema.parts.labels
    groups = [(CATEGORY_GROUP, Label(CATEGORY_GROUP, schema.keys["category"]))]
    groups += [(group.name, Label(group.text("en"), group.korean)) for group in schema.groups]
    figure, axes = _figure(12, 1.3 + BAR * len(groups), len(parts))
    positions = np.arange(len(groups))
    for axis, part in zip(axes, parts, strict=True):
        start = np.zeros(len(groups))
        by_group = [total["groups"][name]["states"][part] for name, _ in groups]
        sums = np.array([max(sum(counts.values()), 1) for counts in by_group])
        for state, color in STATES.items():
            share = 100 * np.array([counts[state] for counts in by_group]) / sums
            axis.barh(
                positions,
                share,
                left=start,
                color=color,
                height=0.75,
                label=_text(state.replace("_", " "), language, "state"),
            )
            start += share
        garments = total["parts"][part]["garments"]
        axis.set(title=f"{part.text(language)}: {garments:,}", xlim=(0, 100), xlabel=_text("% of garments", language))
        axis.set_yticks(
            positions, [label.text(language) for _, label in groups] if axis is axes[0] else [""] * len(groups)
        )
        axis.set_ylim(len(groups) - 0.4, -0.6)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _plot_styles(total: Mapping[str, Any], schema: AttributeSchema, language: str) -> Figure:
    labels = [*schema.styles.labels, Label(*words("unknown"))]
    order = sorted(range(len(labels)), key=lambda i: (i == len(labels) - 1, -total["styles"][labels[i]]))
    figure, axes = _figure(11, 0.9 + BAR * len(labels), 2)
    for axis, key, title in zip(axes, ("styles", "sub_styles"), ("style", "sub-style"), strict=True):
        colors = ["#999999" if i == len(labels) - 1 else "#0072B2" for i in order]
        _bars(axis, [labels[i].text(language) for i in order], [total[key][labels[i]] for i in order], colors)
        axis.set(title=_text(title, language), xlabel=_text("images", language, "count"))
    return figure


def _steps(axis: Any, spread: Mapping[str, Any], schema: AttributeSchema, name: str, language: str) -> None:
    """Draw a line for each part, as a share of its garments, so that rare parts are seen too."""
    edges = np.array(spread["edges"])
    used = np.flatnonzero(np.sum([spread["counts"][part] for part in schema.parts.labels], axis=0))
    end = edges[used[-1] + 1] if len(used) and edges[-1] > 100 else edges[-1]  # pixels and vertices have no natural end
    for p, part in enumerate(schema.parts.labels):
        counts = np.array(spread["counts"][part], dtype=float)
        if counts.sum():
            axis.stairs(100 * counts / counts.sum(), edges, color=_color(p), linewidth=1.6, label=part.text(language))
    median, xlabel = spread["percentiles"]["50"], _text(name, language)
    if median is not None:
        axis.axvline(median, color="#555555", linewidth=1, linestyle=":")
        xlabel += " " + _text("(median of all {median})", language, median=f"{median:.3g}")
    axis.set(xlabel=xlabel, xlim=(edges[0], end), ylabel=_text("% of the part's garments", language), ylim=(0, None))
    axis.grid(alpha=0.3)


def _plot_boxes(total: Mapping[str, Any], schema: AttributeSchema, language: str) -> Figure:
    figure, axes = _figure(11, 7, 2, 2)
    boxes = total["boxes"]
    _steps(axes[0], boxes["width"], schema, "width in pixels", language)
    _steps(axes[1], boxes["height"], schema, "height in pixels", language)
    _steps(axes[2], boxes["relative_size"], schema, "square root of the share of the image", language)
    _steps(axes[3], boxes["aspect_ratio"], schema, "width / height", language)
    axes[3].set_xscale("log", base=2)
    axes[3].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[1].legend(frameon=False, fontsize=9)
    return figure


def _plot_polygons(total: Mapping[str, Any], schema: AttributeSchema, language: str) -> Figure:
    figure, axes = _figure(11, 3.6, 2)
    _steps(axes[0], total["polygons"]["vertices"], schema, "vertices of a polygon", language)
    _steps(axes[1], total["polygons"]["fill"], schema, "polygon's area / box's area", language)
    axes[0].legend(frameon=False, fontsize=9)
    return figure


def _plot_rects(total: Mapping[str, Any], schema: AttributeSchema, language: str) -> Figure:
    figure, (left, right) = _figure(11, 3.6, 2)
    rects = total["rects"]
    spread = rects["rect_iou"]
    counts = np.sum([spread["counts"][part] for part in schema.parts.labels], axis=0)
    left.stairs(counts, spread["edges"], fill=True, color="#0072B2")
    left.axvline(
        0.8, color="#D55E00", linewidth=1.2, linestyle="--", label=_text("below 0.8 the rect is the box", language)
    )
    # The few that disagree matter, and the many that agree would hide them.
    left.set_yscale("symlog", linthresh=1)
    left.set(xlabel=_text("IoU of rect and polygon's bounds", language), ylabel=_text("garments (log)", language))
    left.set(xlim=(0, 1), ylim=(0, None))
    left.yaxis.set_major_formatter(FuncFormatter(_count))
    left.grid(alpha=0.3)
    left.legend(frameon=False, fontsize=9, loc="upper left")
    limits = [*rects["beyond"], None]
    beyond = [rects["given"], *rects["beyond"].values(), 0]
    names = [_text("inside", language)]
    names += [
        _text("{low} to {high} px", language, low=low, high=high) if high else _text("over {low} px", language, low=low)
        for low, high in pairwise(limits)
    ]
    _bars(right, names, [more - less for more, less in pairwise(beyond)], "#555555")
    right.set(xlabel=_text("garments, by how far the rect leaves the image", language))
    return figure


def _plot_image_sizes(total: Mapping[str, Any], schema: AttributeSchema, language: str) -> Figure:
    sizes = total["image_sizes"][:15]
    names = [f"{size['width']} × {size['height']}" for size in sizes]
    values = [size["count"] for size in sizes]
    if total["images"] > sum(values):
        names.append(_text("others", language))
        values.append(total["images"] - sum(values))
    figure, (axis,) = _figure(7, max(0.9 + BAR * len(names), 1.6))
    _bars(axis, names, values, "#555555")
    axis.set(xlabel=_text("images", language, "count"))
    return figure


PLOTS: dict[str, Callable[[Mapping[str, Any], AttributeSchema, str], Figure]] = {
    "combinations": _plot_combinations,
    "categories": _plot_categories,
    "states": _plot_states,
    "styles": _plot_styles,
    "boxes": _plot_boxes,
    "polygons": _plot_polygons,
    "rects": _plot_rects,
    "image_sizes": _plot_image_sizes,
}


def draw_plot(name: str, total: Mapping[str, Any], schema: AttributeSchema, language: str = "en") -> bytes:
    """
    Draw a plot of the data report.

    Args:
        name: one of PLOTS.
        total: "total" of the analysis, or one of its splits.
        schema: the one that it was counted with.
        language: "en" or "ko", as :func:`resolve_language` returns it.

    Returns:
        An SVG file; equal input gives equal bytes.
    """
    return _finish(PLOTS[name](total, schema, language))
