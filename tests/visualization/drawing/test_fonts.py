import base64
import importlib.util
import io
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pytest
from fontTools.ttLib import TTFont

from kfashion_d2.visualization import find_hangul_font, resolve_language
from kfashion_d2.visualization.drawing import fonts
from tests.visualization.font_files import build_font

DEJAVU = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
SYSTEM_FONTS, PACKAGED_FONT = fonts._system_fonts, fonts._packaged_font


def test_coverage_is_that_of_every_character(tmp_path):
    font = build_font(tmp_path / "Some.ttf", "A가힣")
    assert fonts.covers(font, "A가힣")
    assert not fonts.covers(font, "가뷁힣")
    assert fonts.covers(DEJAVU, "Az–") and not fonts.covers(DEJAVU, "가")


def test_a_file_that_is_no_font_covers_nothing(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    assert not fonts.covers(tmp_path / "broken.ttf", "")
    assert not fonts.covers(tmp_path / "missing.ttf", "")


def test_order_of_the_search(fresh_fonts, tmp_path):
    def position(stem, text="가뷁힣"):
        (tmp_path / stem).mkdir()
        return build_font(tmp_path / stem / f"{stem}.ttf", text)

    explicit, packaged = position("Mine"), position("Packaged")
    any_other, known, preferred = position("AAA"), position("Malgun"), position("NanumGothic")
    incomplete = position("NotoSansKR-Regular", "가")
    latin = position("AALatin", "abc")
    fresh_fonts.setattr(fonts, "_packaged_font", lambda: packaged)

    def found(*system, env=""):
        fonts._find.cache_clear()
        fresh_fonts.setenv("KFASHION_FONT", str(env))
        fresh_fonts.setattr(fonts, "_system_fonts", lambda: sorted(system))
        return find_hangul_font()

    everything = (any_other, known, preferred, incomplete, latin)
    assert found(*everything, env=explicit) == explicit
    assert found(*everything) == preferred
    assert found(any_other, known, incomplete, latin) == known
    assert found(any_other, incomplete, latin) == packaged
    fresh_fonts.setattr(fonts, "_packaged_font", lambda: None)
    assert found(any_other, incomplete, latin) == any_other
    assert found(incomplete, latin) is None


def test_the_search_runs_once(fresh_fonts):
    calls = []
    fresh_fonts.setattr(fonts, "_system_fonts", lambda: calls.append(1) or [DEJAVU])
    assert [find_hangul_font() for _ in range(3)] == [None] * 3
    assert len(calls) == 1


def test_the_packaged_font_is_found_without_an_import(monkeypatch, tmp_path):
    (tmp_path / "fonts").mkdir()
    font = build_font(tmp_path / "fonts" / "NanumGothic.ttf", "가")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "elsewhere"), str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "koreanize_matplotlib" else None)
    assert PACKAGED_FONT() == font
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert PACKAGED_FONT() is None
    assert "koreanize_matplotlib" not in sys.modules


def test_the_system_fonts_are_files():
    assert all(path.is_file() for path in SYSTEM_FONTS())


def test_an_explicit_font_must_be_one(fresh_fonts, tmp_path):
    fresh_fonts.setenv("KFASHION_FONT", str(tmp_path / "gone.ttf"))
    with pytest.raises(FileNotFoundError, match=r"KFASHION_FONT=.*gone\.ttf"):
        find_hangul_font()
    fresh_fonts.setenv("KFASHION_FONT", str(DEJAVU))
    with pytest.raises(ValueError, match=r"DejaVuSans\.ttf: not a font that holds Hangul"):
        find_hangul_font()


def test_without_a_font_it_is_english_with_one_warning(fresh_fonts, caplog):
    with caplog.at_level(logging.WARNING, logger="kfashion_d2"):
        assert [resolve_language("ko") for _ in range(3)] == ["en"] * 3
        assert resolve_language("en") == "en"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "koreanize-matplotlib" in caplog.text


def test_with_a_font_it_is_korean_without_a_warning(hangul_font, caplog):
    assert resolve_language("ko") == "ko"
    assert caplog.records == []
    assert fonts.load_font("ko", 20).getname()[0] == "Squares"
    assert fonts.load_font("en", 20).getname()[0] == "DejaVu Sans"


def test_another_language_is_refused():
    with pytest.raises(ValueError, match="'fr': choose from en, ko"):
        resolve_language("fr")


def test_a_page_carries_the_hangul_that_it_needs_and_no_more(hangul_font):
    page = "<style>\n  b { }\n</style><p>니트 A 니</p><style></style>"
    carried = fonts.carry_hangul(page)
    assert carried.count("@font-face") == 1 and carried.index("@font-face") < carried.index("b { }")
    font = TTFont(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", carried)[1])))
    assert set(font.getBestCmap()) == {ord("니"), ord("트")}
    assert fonts.carry_hangul("<style></style><p>A</p>") == "<style></style><p>A</p>"
