"""
This module has the style of an image as it is drawn and reported, from a dataset dict or from the model's output.

Here styles are a dict: "style" and "sub_style" -> [(label, score), ...], best first; score None in ground truth. What
is unknown, or not predicted, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from ...schema import UNKNOWN, AttributeSchema, Label
from .cards import CARD_FILL, INK, KEY_INK, MARKS, MUTED_INK, Line, draw_mark, score_pieces, wrap_pieces
from .fonts import load_font

__all__ = ["Styles", "draw_caption", "style_agreement", "style_lines", "styles_from_output", "styles_from_record"]

Styles = Mapping[str, Sequence[tuple[Label, float | None]]]
TASKS = ("style", "sub_style")
UNKNOWN_WORDS = {"en": "unknown", "ko": "미상"}


def styles_from_record(record: Mapping[str, Any], schema: AttributeSchema) -> dict[str, list[tuple[Label, None]]]:
    """Return the ground truth of a dataset dict; it may lack the keys."""
    ids = {task: record.get(task, UNKNOWN) for task in TASKS}
    return {task: [(schema.styles.labels[i], None)] for task, i in ids.items() if i != UNKNOWN}


def styles_from_output(
    output: Mapping[str, Any], schema: AttributeSchema, top_k: int = 3
) -> dict[str, list[tuple[Label, float]]]:
    """
    Return the best styles of a model's output.

    Args:
        output: with `style_scores` and `sub_style_scores`, float (S,), where the model predicts them.
        top_k: how many.

    Raises:
        ValueError: there is another number of scores than the schema has styles.
    """
    styles = {}
    for task in TASKS:
        if f"{task}_scores" not in output:
            continue
        scores = np.asarray(output[f"{task}_scores"].cpu(), dtype=np.float64)
        if scores.shape != (len(schema.styles),):
            raise ValueError(
                f"{task}_scores has shape {scores.shape}; schema {schema.name!r}: {len(schema.styles)} styles"
            )
        best = np.argsort(-scores, kind="stable")[:top_k]
        styles[task] = [(schema.styles.labels[i], float(scores[i])) for i in best]
    return styles


def style_agreement(truth: Styles, prediction: Styles) -> dict[str, str]:
    """Say "right" or "wrong" for each of "style" and "sub_style" that both have, by the best label."""
    return {
        task: "right" if prediction[task][0][0] == truth[task][0][0] else "wrong"
        for task in TASKS
        if task in truth and task in prediction
    }


def style_lines(
    styles: Styles,
    schema: AttributeSchema,
    language: str = "en",
    *,
    tasks: Iterable[str] | None = None,
    marks: Mapping[str, str] | None = None,
) -> list[Line]:
    """
    Write the text of a caption.

    Args:
        language: "en" or "ko".
        tasks: those to show, "unknown" where `styles` lacks one; None: those of `styles`.
        marks: task -> key of MARKS.
    """
    lines = []
    for task in styles if tasks is None else tasks:
        key = schema.keys[task] if language == "ko" else task.replace("_", "-")
        pieces = score_pieces(styles.get(task, ()), language) or (UNKNOWN_WORDS[language],)
        lines.append(Line(key, pieces, (marks or {}).get(task, ""), muted=task not in styles))
    return lines


def draw_caption(lines: Sequence[Line], width: int, size: int, language: str) -> Image.Image:
    """
    Draw a strip of text that stands above a picture.

    Args:
        lines: at least one.
        width: of the strip; longer text wraps.
        size: of the letters; both in pixels.
        language: "en" or "ko", as :func:`resolve_language` returns it.
    """
    font, pad, step, mark = load_font(language, size), size // 2, round(size * 1.4), round(size * 1.1)
    left = pad + round(max(font.getlength(line.key) for line in lines)) + pad
    values = [wrap_pieces(line.pieces, width - left - mark - 2 * pad, font.getlength) for line in lines]
    strip = Image.new("RGB", (width, sum(map(len, values)) * step + pad), CARD_FILL)
    draw = ImageDraw.Draw(strip)
    top = pad // 2
    for line, value in zip(lines, values, strict=True):
        draw.text((pad, top + step / 2), line.key, font=font, fill=KEY_INK, anchor="lm")
        if line.mark:
            end = left + font.getlength(value[0]) + pad
            draw_mark(draw, end, top + (step - mark) / 2, mark, line.mark, MARKS[line.mark])
        for text in value:
            draw.text((left, top + step / 2), text, font=font, fill=MUTED_INK if line.muted else INK, anchor="lm")
            top += step
    return strip
