"""This module draws the training curve: losses and attribute accuracies over the iterations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

__all__ = ["plot_training_curve", "read_training_log"]

# Okabe and Ito's palette: told apart by colour-blind readers, too.
COLORS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999")


def read_training_log(path: str | Path) -> dict[str, np.ndarray]:
    """
    Read Detectron2's ``metrics.json`` (a JSON object a line) as columns.

    Returns:
        dict: name -> float (T,), NaN where a line lacks the name; "iteration" among them, ascending. A resumed run
        writes some iterations twice: the last line counts.

    Raises:
        FileNotFoundError: no such file.
    """
    lines = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "total_loss" in entry:
            lines[entry["iteration"]] = entry
    rows = [lines[iteration] for iteration in sorted(lines)]
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64) for name in names}


def plot_training_curve(log_file: str | Path, output: str | Path, title: str = "") -> None:
    """
    Draw the losses (left) and the accuracy of every attribute group on foreground proposals (right) into a PNG file;
    of multi-label groups the micro-F1, and where they train the accuracy of the images' styles.

    Args:
        log_file: the run's ``metrics.json``.
        output: path of the picture.
        title: stands above both.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    log = read_training_log(log_file)
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    losses = ["total_loss", *(name for name in log if name.startswith("loss_"))]
    answers = {
        name: name.removesuffix("_accuracy").replace("attribute/", "").replace("style/", "image ").replace("_", " ")
        for name in log
        if name.startswith(("attribute/", "style/")) and name.endswith(("_accuracy", "_micro_f1"))
    }
    for i, name in enumerate(losses):
        width = 2.0 if name == "total_loss" else 1.2
        left.plot(log["iteration"], log[name], color=COLORS[i % 8], linewidth=width, label=name)
    for i, (name, label) in enumerate(answers.items()):
        line = "-" if i < 8 else "--"
        right.plot(log["iteration"], 100 * log[name], line, color=COLORS[i % 8], linewidth=1.2, label=label)
    left.set(xlabel="iteration", ylabel="loss", ylim=(0, None))
    right.set(xlabel="iteration", ylabel="accuracy or F1 on foreground proposals (%)", ylim=(0, 100))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    if title:
        figure.suptitle(title)
    figure.savefig(output, dpi=110)
