"""
This module finds fonts at run time: one for Latin text, which Matplotlib carries, and one with Hangul, if there is one.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import logging
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

__all__ = ["carry_hangul", "covers", "find_hangul_font", "hangul_subset", "load_font", "resolve_language"]

logger = logging.getLogger(__name__)

FONT_VARIABLE = "KFASHION_FONT"
LANGUAGES = ("en", "ko")
# The first and the last syllable, and one in between: subsets of a font often stop at the common ones.
HANGUL_SAMPLE = "가뷁힣"
HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
# File stems of plain, well readable faces, best first.
PREFERRED = (
    "NanumGothic",
    "NanumBarunGothic",
    "NotoSansCJK-Regular",
    "NotoSansCJKkr-Regular",
    "NotoSansKR-Regular",
    "NotoSansKR-VF",
    "SourceHanSansKR-Regular",
    "malgun",
    "AppleSDGothicNeo",
    "AppleGothic",
    "UnDotum",
)


def covers(path: str | Path, text: str) -> bool:
    """Say whether a font file has a glyph for every character of `text`; False for a file that is not a font."""
    try:
        glyphs = FT2Font(str(path)).get_charmap()
    except (OSError, RuntimeError):
        return False
    return all(ord(character) in glyphs for character in text)


def _system_fonts() -> list[Path]:
    return sorted(Path(name) for name in font_manager.findSystemFonts())


def _packaged_font() -> Path | None:
    """
    Find NanumGothic of the package koreanize-matplotlib, which is not imported: its import changes Matplotlib's
    settings.
    """
    spec = importlib.util.find_spec("koreanize_matplotlib")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    files = (Path(folder, "fonts", "NanumGothic.ttf") for folder in folders)
    return next((file for file in files if file.is_file()), None)


def _candidates() -> Iterator[Path]:
    fonts = _system_fonts()
    rank = {stem.casefold(): i for i, stem in enumerate(PREFERRED)}
    preferred = [font for font in fonts if font.stem.casefold() in rank]
    yield from sorted(preferred, key=lambda font: (rank[font.stem.casefold()], font))
    packaged = _packaged_font()
    if packaged is not None:
        yield packaged
    yield from fonts


@cache
def _find(explicit: str) -> Path | None:
    if not explicit:
        return next((path for path in _candidates() if covers(path, HANGUL_SAMPLE)), None)
    path = Path(explicit)
    if not path.is_file():
        raise FileNotFoundError(f"{FONT_VARIABLE}={explicit}: no such file. Give a font file, or unset it")
    if not covers(path, HANGUL_SAMPLE):
        raise ValueError(f"{FONT_VARIABLE}={explicit}: not a font that holds Hangul. Give another one, or unset it")
    return path


def find_hangul_font() -> Path | None:
    """
    Find a font file that holds Hangul: the one that the environment variable ``KFASHION_FONT`` names; else one of the
    system's well-known ones; else NanumGothic of the package koreanize-matplotlib; else any of the system's. Looked up
    once per process.

    Returns:
        Path | None: None where there is no such font.

    Raises:
        FileNotFoundError, ValueError: ``KFASHION_FONT`` names no file, or a file that is no font with Hangul.
    """
    return _find(os.environ.get(FONT_VARIABLE, ""))


@cache
def _warn_no_hangul() -> None:
    logger.warning(
        "no font with Hangul on this machine: text is drawn in English. "
        "Install one (pip install koreanize-matplotlib, apt install fonts-nanum), or name its file in %s",
        FONT_VARIABLE,
    )


def resolve_language(language: str) -> str:
    """
    Return the language that can be drawn: ``"ko"`` becomes ``"en"`` where no font holds Hangul, with one warning per
    process.

    Raises:
        ValueError: `language` is neither "en" nor "ko".
    """
    if language not in LANGUAGES:
        raise ValueError(f"language={language!r}: choose from {', '.join(LANGUAGES)}")
    if language == "ko" and find_hangul_font() is None:
        _warn_no_hangul()
        return "en"
    return language


@cache
def load_font(language: str, size: int) -> ImageFont.FreeTypeFont:
    """
    Load the font of a language.

    Args:
        language: as :func:`resolve_language` returns it.
        size: of the letters, in pixels.
    """
    path = find_hangul_font() if language == "ko" else None
    path = path or Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    # The basic layout is the same wherever Pillow was built; neither language needs the complex one.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def hangul_subset(text: str) -> bytes | None:
    """
    Return the found font with no more glyphs than the Hangul of `text` needs, so that a page can carry it to machines
    that have none; a WOFF file. None where there is no such font, or no Hangul in the text.
    """
    wanted = {
        ord(c) for c in text if "\uac00" <= c <= "\ud7a3" or "\u1100" <= c <= "\u11ff" or "\u3130" <= c <= "\u318f"
    }
    path = find_hangul_font()
    if path is None or not wanted:
        return None
    from fontTools import subset

    options = subset.Options(flavor="woff", hinting=False, layout_features=[], notdef_outline=True, font_number=0)
    options.drop_tables += ["TSI0", "TSI1", "TSI2", "TSI3", "TSI5", "TSIV"]  # sources of hints
    with subset.load_font(str(path), options) as font:
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=wanted)
        cutter.subset(font)
        buffer = io.BytesIO()
        subset.save_font(font, buffer, options)
    return buffer.getvalue()


def carry_hangul(html: str) -> str:
    """Put the font "Page Hangul" into a page's first style sheet, for the Hangul in it; see :func:`hangul_subset`."""
    font = hangul_subset(html)
    if font is None:
        return html
    face = (
        '@font-face { font-family: "Page Hangul"; font-display: block; '
        f'src: url("data:font/woff;base64,{base64.b64encode(font).decode()}") format("woff"); '
        "unicode-range: U+1100-11FF, U+3130-318F, U+AC00-D7A3; }"
    )
    return html.replace("<style>", f"<style>\n  {face}", 1)
