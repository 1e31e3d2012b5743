"""Pages of tables that sort, in English and Korean by a switch: evaluation_base.html.j2 and what extends it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..drawing.fonts import LANGUAGES, carry_hangul

__all__ = ["render_page"]


def _plain(value: float | None, form: str = ".1f") -> str:
    return "–" if value is None or math.isnan(value) else format(value, form)


def render_page(path: str | Path, template: str, *, language: str, heading: tuple[str, str], **values: Any) -> None:
    """
    Render a template of this folder into an HTML file, which carries the Hangul that it needs.

    Args:
        path: of the HTML file.
        template: its file name.
        language: "en" or "ko", in which it opens.
        heading: English and Korean; the page's title is the one of `language`.
        values: of the template.

    Raises:
        ValueError: there is no such language.
    """
    from jinja2 import Environment, FileSystemLoader

    if language not in LANGUAGES:
        raise ValueError(f"language={language!r}: choose from {', '.join(LANGUAGES)}")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        thousands=lambda value: f"{value:,}", plain=_plain, signed=lambda value: _plain(value, "+.1f")
    )
    values.update(language=language, heading=heading, title=heading[LANGUAGES.index(language)])
    html = carry_hangul(environment.get_template(template).render(**values))
    Path(path).write_text(html, encoding="utf-8", errors="replace")
