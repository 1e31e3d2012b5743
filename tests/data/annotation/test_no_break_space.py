import json

import pytest

from kfashion_d2.data.annotation.no_break_space import find_no_break_spaces


def find(text):
    return find_no_break_spaces(text.encode(), json.loads(text))


@pytest.mark.parametrize(
    "text, key, value",
    [
        ('{"a": [{"프린트": ["도트", "하운즈\u00a0투스"]}]}', "프린트", "하운즈\u00a0투스"),
        ('{"프린트": ["하운즈\\u00a0투스"], "b": 1}', "프린트", "하운즈\u00a0투스"),
        ('{"프린트": "\\u00A0"}', "프린트", "\u00a0"),
        ('{"b": "x\u00a0", "a": ["\u00a0y", {"c": "\u00a0"}], "d": "z"}', "b, a, c", "x\u00a0"),
        ('{"헤어\u00a0니트": 3}', "헤어\u00a0니트", "헤어\u00a0니트"),
        ('["\u00a0"]', "", "\u00a0"),
    ],
)
def test_the_keys_and_the_first_text(text, key, value):
    problem = find(text)
    assert (problem.key, problem.value, problem.reason, problem.action) == (key, value, "no-break space", "noted")


@pytest.mark.parametrize(
    "text", ['{"a": "\\\\u00a0"}', '{"a": "b\\n c"}', '{"a": "\u00a1 \u00c2 한"}', '{"a": "\\u00e9"}']
)
def test_nothing_to_find(text):
    assert find(text) is None
