"""Fonts made for the test, so that no test depends on what the machine has."""

import pytest

from kfashion_d2.visualization.drawing import fonts
from tests.visualization.font_files import build_font


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
