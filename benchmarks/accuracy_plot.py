"""Draw the ablation: every seed is a dot, their mean a line."""

from __future__ import annotations

from pathlib import Path

from kfashion_d2.evaluation.attributes.frequency_bands import BANDS

from .accuracy_variants import VARIANTS

__all__ = ["plot_ablation"]

# Okabe and Ito's palette: told apart by colour-blind readers, too.
_BLUE, _BAND_COLORS = "#0072B2", ("#009E73", "#E69F00", "#D55E00")


def plot_ablation(results: dict[str, list[dict[str, float]]], output: Path) -> None:
    """
    Draw the results of all variants into a file.

    Args:
        results: variant -> the metrics of each seed; see :func:`run_metrics`.
        output: path of the PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for steps in (True, False) for name in results if VARIANTS[name].steps == steps]
    num_steps = sum(VARIANTS[name].steps for name in names)
    # The steps on top, then, after a gap, the default and its single changes.
    positions = [i + 0.7 * (i >= num_steps) for i in range(len(names))]
    figure = Figure(figsize=(12, 1.6 + 0.33 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=[1.2, 1.2, 1])

    def draw(axes, metric: str, color: str, label: str | None = None, offset: float = 0.0) -> None:
        for name, position in zip(names, positions, strict=True):
            values = [row[metric] for row in results[name]]
            mean = sum(values) / len(values)
            y = position + offset
            axes.plot(values, [y] * len(values), "o", color=color, alpha=0.35, markersize=4, markeredgewidth=0)
            axes.plot([mean, mean], [y - 0.16, y + 0.16], color=color, linewidth=2.5, label=label)
            label = None

    draw(left, "gt_boxes/macro_f1", _BLUE)
    for i, (band, color) in enumerate(zip(BANDS, _BAND_COLORS, strict=True)):
        draw(middle, f"gt_boxes/f1_{band}", color, band, 0.22 * (i - 1))
    draw(right, "AP50", _BLUE)
    if "kcoord" in results:
        for axes, metric in ((left, "gt_boxes/macro_f1"), (right, "AP50")):
            values = [row[metric] for row in results["kcoord"]]
            axes.axvline(sum(values) / len(values), color="#999999", linewidth=1, linestyle="--", zorder=0)
    left.set_yticks(positions, [VARIANTS[name].title for name in names])
    left.invert_yaxis()
    left.set(title="macro-F1, true boxes")
    middle.set(title="F1 by band, true boxes")
    right.set(title="box AP50")
    middle.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.04), ncols=3)
    for axes in (left, middle, right):
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(output, dpi=110)
