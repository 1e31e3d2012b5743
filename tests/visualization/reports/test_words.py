import ast
import re
from pathlib import Path

import pytest

from kfashion_d2.visualization.reports import words as module
from kfashion_d2.visualization.reports.words import words

FOLDER = Path(module.__file__).parent
HANGUL = re.compile("[가-힣]")


def test_values_go_into_both_languages():
    assert words("{part}: unknown", part=("top", "상의")) == ("top: unknown", "상의 미상")
    assert words("garments") == ("garments", "의류") and words("garments", "count") == ("garments", "의류 수")
    with pytest.raises(KeyError, match="not there"):
        words("not there")


def used_words():
    """English words and contexts that the code and the templates ask for by a literal."""
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "words":
                literals = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                if literals and isinstance(node.args[0], ast.Constant):
                    yield literals[0], (literals[1:] or [""])[0]
    for path in (FOLDER / "templates").glob("*.j2"):
        yield from re.findall(r'words\("([^"]+)"(?:, "([^"]+)")?', path.read_text("utf-8"))


def test_every_word_has_its_korean_and_lives_in_one_file():
    used = set(used_words())
    assert len(used) > 80 and used <= set(module._korean())
    assert all(
        set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", korean))
        for (english, _), korean in module._korean().items()
    )
    for path in [*FOLDER.glob("*.py"), *(FOLDER / "templates").glob("*.j2")]:
        text = path.read_text("utf-8").replace("filter / 검색", "").replace(">한국어<", "")  # both languages at once
        assert not HANGUL.search(text), path.name
