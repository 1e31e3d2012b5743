"""This module has the one renderer of all reports: a template and its values become a self-contained HTML file."""

from __future__ import annotations

import base64
import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..drawing.fonts import LANGUAGES, carry_hangul
from .words import translation, words

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["data_uri", "number", "render_page"]


def number(value: float | None, form: str = ".1f") -> str:
    """Format a number; a dash for one that could not be measured (None or NaN)."""
    return "–" if value is None or math.isnan(value) else format(value, form)


def _percent(share: float | None) -> str:
    """Format a share of 1 with two digits that say something, and never as 0 for what is there."""
    if share is None:
        return "–"
    if share == 0:
        return "0 %"
    return f"{100 * share:.1f} %" if share >= 0.1 else f"{100 * share:.2g} %" if share >= 1e-6 else "< 0.0001 %"


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _short_hash(text: str) -> str:
    """Shorten a text that is a long hexadecimal number to its first eight digits, which tell it apart."""
    return text[:8] if re.fullmatch("[0-9a-f]{16,}", text) else text


def data_uri(kind: str, content: bytes) -> str:
    """Make a URI that holds an image itself; `kind` as "jpeg", "png" or "svg+xml"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        decimal=_decimal,
        number=number,
        percent=_percent,
        short_hash=_short_hash,
        signed=lambda value: number(value, "+.1f"),
        thousands=lambda value: f"{value:,}",
        translation=translation,
    )
    environment.globals["words"] = words
    return environment


def render_page(
    path: str | Path, template: str, *, language: str = "en", heading: tuple[str, str], **values: Any
) -> None:
    """
    Render a template that extends base.html.j2 into an HTML file, which carries the Hangul that it needs: in English
    and Korean by a switch, light or dark as the reader's system is, with tables that sort.

    Args:
        path: of the HTML file.
        template: its file name in the folder of templates.
        language: "en" or "ko", in which it opens.
        heading: English and Korean; the page's title is the one of `language`.
        values: of the template.

    Raises:
        ValueError: there is no such language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language={language!r}: choose from {', '.join(LANGUAGES)}")
    title = heading[LANGUAGES.index(language)]
    page = _environment().get_template(template)
    html = carry_hangul(page.render(language=language, heading=heading, title=title, **values))
    Path(path).write_text(html, encoding="utf-8", errors="replace")
