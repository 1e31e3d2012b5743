import numpy as np
import pytest
import torch

from kfashion_d2.schema import kfashion_schema
from kfashion_d2.visualization import draw_comparison, draw_instances, styles_from_output, styles_from_record
from kfashion_d2.visualization.drawing.cards import MARKS
from kfashion_d2.visualization.drawing.style import draw_caption, style_agreement, style_lines

SCHEMA = kfashion_schema().for_classes("part")
PARTS = SCHEMA.thing_classes("part")
STYLES = SCHEMA.styles.labels
GRAY = np.full((600, 500, 3), 120, dtype=np.uint8)
STREET = {"style": [(STYLES[8], None)]}
OUTPUT = {"style_scores": torch.zeros(23), "sub_style_scores": torch.zeros(23)}
OUTPUT["style_scores"][[8, 4, 0]] = torch.tensor([0.5, 0.3, 0.15])
OUTPUT["sub_style_scores"][[1, 2]] = torch.tensor([0.25, 0.75])


def test_styles_of_a_record():
    assert styles_from_record({"style": 8, "sub_style": 0}, SCHEMA) == {
        "style": [("street", None)],
        "sub_style": [("retro", None)],
    }
    assert styles_from_record({"style": 8, "sub_style": -1}, SCHEMA) == STREET
    assert styles_from_record({}, SCHEMA) == {}


def test_styles_of_an_output():
    found = styles_from_output(OUTPUT, SCHEMA, top_k=2)
    assert [(label.name, label.korean, round(score, 4)) for label, score in found["style"]] == [
        ("street", "스트리트", 0.5),
        ("modern", "모던", 0.3),
    ]
    assert [label for label, _ in found["sub_style"]] == ["resort", "romantic"]
    assert styles_from_output({"instances": None}, SCHEMA) == {}
    with pytest.raises(ValueError, match=r"style_scores has shape \(5,\); .* 23 styles"):
        styles_from_output({"style_scores": torch.zeros(5)}, SCHEMA)


def test_what_a_caption_says():
    found = styles_from_output(OUTPUT, SCHEMA, top_k=2)
    assert [str(line) for line in style_lines(found, SCHEMA)] == [
        "style: street 0.50, modern 0.30",
        "sub-style: resort 0.75, romantic 0.25",
    ]
    assert [str(line) for line in style_lines(found, SCHEMA, "ko")] == [
        "스타일: 스트리트 0.50, 모던 0.30",
        "서브스타일: 리조트 0.75, 로맨틱 0.25",
    ]
    # Beside a prediction, what the ground truth does not know is said to be unknown.
    lines = style_lines(STREET, SCHEMA, tasks=found)
    assert [(str(line), line.muted) for line in lines] == [("style: street", False), ("sub-style: unknown", True)]
    assert str(style_lines({}, SCHEMA, "ko", tasks=["style"])[0]) == "스타일: 미상"


def test_agreement_is_by_the_best_style():
    found = styles_from_output(OUTPUT, SCHEMA)
    assert style_agreement(STREET, found) == {"style": "right"}
    modern = {"style": [(STYLES[4], None)], "sub_style": [(STYLES[2], None)]}
    assert style_agreement(modern, found) == {"style": "wrong", "sub_style": "right"}
    assert style_agreement({}, found) == style_agreement(modern, {}) == {}


def test_the_caption_stands_above_the_picture_and_moves_it_down():
    plain = draw_instances(GRAY, [], SCHEMA, PARTS)
    one, two = (draw_instances(GRAY, [], SCHEMA, PARTS, styles=s) for s in (STREET, styles_from_output(OUTPUT, SCHEMA)))
    moved = one.shape[0] - plain.shape[0], two.shape[0] - plain.shape[0]
    assert 20 < moved[0] < moved[1] < 2 * moved[0]
    for drawn, top in zip((one, two), moved, strict=True):
        np.testing.assert_array_equal(drawn[top:], plain)
        assert (drawn[:top].min(axis=2) < 100).sum() > 100  # ink
    np.testing.assert_array_equal(draw_instances(GRAY, [], SCHEMA, PARTS, styles={}), plain)


def test_long_captions_wrap():
    lines = style_lines(styles_from_output(OUTPUT, SCHEMA, top_k=23), SCHEMA)
    narrow, wide = (draw_caption(lines, width, 15, "en") for width in (400, 4000))
    assert narrow.width == 400
    assert narrow.height > 6 * wide.height > 0
    assert np.asarray(narrow)[:, -4:].min() > 200  # nothing is cut


def color_count(image, color):
    return int((image == color).all(axis=2).sum())


def test_a_comparison_marks_the_style_and_keeps_both_pictures_level():
    found = styles_from_output(OUTPUT, SCHEMA)
    for truth, mark in ((STREET, "right"), ({"style": [(STYLES[3], None)]}, "wrong")):
        drawn = draw_comparison(GRAY, [], [], SCHEMA, PARTS, true_styles=truth, predicted_styles=found)
        assert color_count(drawn, MARKS[mark]) > 20
        assert sum(color_count(drawn, color) > 20 for color in MARKS.values()) == 1
        gray = (drawn == 120).all(axis=2)
        left, right = gray[:, : drawn.shape[1] // 2], gray[:, drawn.shape[1] // 2 :]
        assert left.any(axis=1).argmax() == right.any(axis=1).argmax() > 0
    without = draw_comparison(GRAY, [], [], SCHEMA, PARTS, true_styles=STREET)
    np.testing.assert_array_equal(without, draw_comparison(GRAY, [], [], SCHEMA, PARTS))


def test_korean_captions_are_drawn(hangul_font):
    english, korean = (draw_instances(GRAY, [], SCHEMA, PARTS, styles=STREET, language=x) for x in ("en", "ko"))
    assert not np.array_equal(english[:20], korean[:20])
