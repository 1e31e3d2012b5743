"""Fonts made for the test, so that no test depends on what the machine has."""

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from kfashion_d2.visualization.drawing import fonts


def build_font(path, text):
    """A TrueType file in which every character of `text` is a black square."""
    characters = sorted(set(text))
    names = [".notdef", *(f"u{ord(c):05X}" for c in characters)]
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    glyph = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"u{ord(c):05X}" for c in characters})
    builder.setupGlyf(dict.fromkeys(names, glyph))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


def forget_fonts():
    for function in (fonts._find, fonts._warn_no_hangul, fonts.load_font):
        function.cache_clear()


@pytest.fixture
def fresh_fonts(monkeypatch):
    """No font found yet, and none on the machine."""
    forget_fonts()
    monkeypatch.delenv("KFASHION_FONT", raising=False)
    monkeypatch.setattr(fonts, "_system_fonts", lambda: [])
    monkeypatch.setattr(fonts, "_packaged_font", lambda: None)
    yield monkeypatch
    forget_fonts()


@pytest.fixture
def hangul_font(fresh_fonts, tmp_path):
    """A font with all Hangul syllables, ASCII and the few other signs, and no other on the machine."""
    syllables = "".join(map(chr, range(0xAC00, 0xD7A4)))
    ascii_text = "".join(map(chr, range(0x20, 0x7F)))
    path = build_font(tmp_path / "Squares.ttf", syllables + ascii_text + "–")
    fresh_fonts.setenv("KFASHION_FONT", str(path))
    return path
