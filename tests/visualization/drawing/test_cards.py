import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfashion_d2.schema import UNSURE, Label, kfashion_schema
from kfashion_d2.visualization.drawing.cards import arrange_cards, draw_panel, garment_card, place_cards, wrap_pieces
from kfashion_d2.visualization.drawing.garment import Garment

SCHEMA = kfashion_schema().for_classes("part")


def label(group, name):
    labels = SCHEMA.group(group).labels
    return labels[[str(x) for x in labels].index(name)]


def garment(**changes):
    fields = {
        "box": (0.0, 0.0, 10.0, 10.0),
        "label": Label("top", "상의"),
        "part": "top",
        "score": 0.984,
        "attributes": {
            "color": [(label("color", "navy"), 0.934)],
            "sub_color": [(label("sub_color", "none"), 0.6)],
            "material": [(label("material", "knit"), 0.81), (label("material", "lace"), 0.5)],
            "print": [],
            "detail": [],
            "category": [(label("category", "knitwear"), 0.7)],
        },
    }
    return Garment(**{**fields, **changes})


def test_the_text_of_a_card():
    card = garment_card(garment(), SCHEMA, "en", number=3, color=(1, 2, 3))
    assert card.title == "top 0.98"
    # The category first; a group that knows no "none" says "–" when no label reached the threshold.
    assert [str(line) for line in card.lines] == [
        "category: knitwear 0.70",
        "color: navy 0.93",
        "sub color: none 0.60",
        "material: knit 0.81, lace 0.50",
        "print: –",
        "detail: none",
    ]
    assert [line.muted for line in card.lines] == [False, False, True, False, True, True]


def test_the_text_of_a_card_in_korean():
    card = garment_card(garment(), SCHEMA, "ko")
    assert card.title == "상의 0.98"
    assert [str(line) for line in card.lines] == [
        "카테고리: 니트웨어 0.70",
        "색상: 네이비 0.93",
        "서브색상: 없음 0.60",
        "소재: 니트 0.81, 레이스 0.50",
        "프린트: –",
        "디테일: 없음",
    ]


@pytest.mark.parametrize("language, word, navy", [("en", "unsure", "navy"), ("ko", "불확실", "네이비")])
def test_an_unsure_line_has_no_score_and_is_grey(language, word, navy):
    """The score that stands beside it is the best label's."""
    unsure = garment(attributes={"color": [(UNSURE, 0.3)], "sub_color": [(UNSURE, 0.4), (label("color", "navy"), 0.4)]})
    first, second = garment_card(unsure, SCHEMA, language).lines
    assert first.pieces == (word,) and first.muted
    assert second.pieces == (f"{word},", f"{navy} 0.40")


def test_ground_truth_has_no_scores():
    card = garment_card(garment(score=None, attributes={"color": [(label("color", "navy"), None)]}), SCHEMA)
    assert (card.title, [str(line) for line in card.lines]) == ("top", ["color: navy"])


def test_marks_and_note_stand_where_they_belong():
    card = garment_card(garment(), SCHEMA, marks={"": "right", "color": "wrong"}, note="not found")
    assert (card.title, card.mark) == ("top 0.98 (not found)", "right")
    assert {line.key: line.mark for line in card.lines if line.mark} == {"color": "wrong"}


WORDS = st.lists(st.text("abc 가", min_size=1, max_size=12).map(str.strip).filter(bool), max_size=8)


@settings(deadline=None)
@given(pieces=WORDS, width=st.integers(1, 14))
def test_wrapped_lines_fit_and_lose_nothing(pieces, width):
    lines = wrap_pieces(pieces, width, len)
    assert all(0 < len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(pieces).replace(" ", "")


@settings(deadline=None)
@given(pieces=WORDS)
def test_a_piece_that_fits_is_never_broken(pieces):
    lines = wrap_pieces(pieces, 12, len)
    rest = " ".join(lines)
    for piece in pieces:
        assert any(piece in line for line in lines)
    assert rest == " ".join(pieces)


@pytest.mark.parametrize(
    "width, lines",
    [
        (20, ["knit 0.81, lace 0.50"]),
        (19, ["knit 0.81,", "lace 0.50"]),
        (9, ["knit", "0.81,", "lace 0.50"]),
        (3, ["kni", "t", "0.8", "1,", "lac", "e", "0.5", "0"]),
    ],
)
def test_wrapping_by_hand(width, lines):
    assert wrap_pieces(["knit 0.81,", "lace 0.50"], width, len) == lines


def check_layout(heights, width, gap, positions, total_width, total_height):
    boxes = [(x, y, x + width, y + height) for (x, y), height in zip(positions, heights, strict=True)]
    for i, a in enumerate(boxes):
        assert a[0] >= gap and a[1] >= gap
        assert a[2] + gap <= total_width and a[3] + gap <= total_height
        for b in boxes[:i]:
            # A gap between any two, so they cannot overlap.
            assert b[2] + gap <= a[0] or b[3] + gap <= a[1]


HEIGHTS = st.lists(st.integers(1, 400), max_size=12)


@settings(deadline=None)
@given(heights=HEIGHTS, width=st.integers(1, 300), room=st.integers(1, 900), gap=st.integers(0, 20))
def test_cards_never_overlap(heights, width, room, gap):
    positions, total_width, total_height = place_cards(heights, width, room, gap)
    check_layout(heights, width, gap, positions, total_width, total_height)
    # Only a card that is too high by itself passes the room.
    assert total_height <= max([room, *(height + 2 * gap for height in heights)]) or not heights


@settings(deadline=None)
@given(heights=HEIGHTS, width=st.integers(1, 300), height=st.integers(1, 900), gap=st.integers(0, 20))
def test_arranged_cards_never_overlap_and_fill_a_page_at_least_as_well(heights, width, height, gap):
    picture = (500, height)

    def size_on_page(total_width, total_height):
        return max(picture[0] + total_width, 1.6 * max(height, total_height))

    positions, *total = arrange_cards(heights, width, picture, gap)
    check_layout(heights, width, gap, positions, *total)
    for room in (1, height, 10**6):  # one card a column, the picture's height, one column
        assert size_on_page(*total) <= size_on_page(*place_cards(heights, width, room, gap)[1:])


def test_place_cards_by_hand():
    positions, width, height = place_cards([100, 80, 300, 20], width=50, room=200, gap=5)
    assert positions == [(5, 5), (5, 110), (60, 5), (115, 5)]
    assert (width, height) == (170, 310)
    # The gap below a card counts: 5 + 100 + 5 + 85 is 195, with it 200.
    assert place_cards([100, 85], width=50, room=200, gap=5)[0] == [(5, 5), (5, 110)]
    assert place_cards([100, 85], width=50, room=199, gap=5)[0] == [(5, 5), (60, 5)]


def test_cards_a_little_too_high_stay_below_one_another():
    positions, width, height = arrange_cards([260, 290], width=300, picture=(480, 544), gap=7)
    assert positions == [(7, 7), (7, 274)]
    assert (width, height) == (314, 571)


def test_a_panel_is_as_high_as_its_picture_or_its_cards():
    cards = [garment_card(garment(), SCHEMA, number=i + 1, color=(0, 114, 178)) for i in range(2)]
    assert draw_panel(cards, (800, 1200), 20).height == 1200
    assert draw_panel(cards, (120, 100), 20).height > 100
    assert draw_panel([], (120, 100), 20, empty="no garment").height == 100
