import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfashion_d2.schema import UNSURE, Label, kfashion_schema
from kfashion_d2.visualization import contact_sheet, draw_comparison, draw_instances
from kfashion_d2.visualization.drawing import cards
from kfashion_d2.visualization.drawing import instances as drawing
from kfashion_d2.visualization.drawing.garment import Garment
from kfashion_d2.visualization.drawing.instances import COLORS, agreement, place_tags

SCHEMA = kfashion_schema().for_classes("part")
PARTS = SCHEMA.thing_classes("part")
GRAY = np.full((600, 500, 3), 120, dtype=np.uint8)


def labels(group, *names, score=None):
    index = SCHEMA.group(group).index_of
    return [(index.labels[index.index(name)], score) for name in names]


def garment(box=(100.0, 120.0, 300.0, 420.0), name="top", score=None, known=True, mask=None, polygons=(), **attributes):
    label = next((part for part in PARTS if part == name), Label(name))
    return Garment(box, label, "top", attributes, score=score, known=known, mask=mask, polygons=polygons)


def draw(*garments, image=GRAY, **options):
    return draw_instances(image, list(garments), SCHEMA, PARTS, **options)


def test_the_box_has_its_colour_and_the_rest_of_the_picture_stays():
    drawn = draw(garment())
    assert tuple(drawn[300, 100]) == tuple(drawn[420, 200]) == COLORS[0]
    # Seams of the box and the number aside, no pixel differs.
    picture = drawn[:600, :500]
    same = (picture == GRAY).all(axis=2)
    assert same[:116].all() and same[430:].all() and same[:, :94].all() and same[:, 306:].all()
    assert same[160:410, 140:290].all()
    assert drawn.shape[1] > 500


def test_each_garment_has_another_colour():
    drawn = draw(*(garment(box=(10.0 + 60 * i, 50.0, 60.0 + 60 * i, 500.0)) for i in range(7)))
    assert [tuple(drawn[400, 10 + 60 * i]) for i in range(7)] == list(COLORS)
    assert len(set(COLORS)) == 7


def test_the_card_has_the_colour_of_the_box():
    drawn = draw(garment(), garment(box=(320.0, 10.0, 480.0, 580.0)))
    panel = drawn[:, 500:].reshape(-1, 3)
    for color in COLORS[:2]:
        assert (panel == color).all(axis=1).sum() > 1000
    assert not (panel == COLORS[2]).all(axis=1).any()


def blended(color):
    return np.round((1 - drawing.FILL) * 120 + drawing.FILL * np.array(color))


def test_a_polygon_is_filled_and_its_outside_is_not():
    triangle = np.array([[100.0, 120.0], [300.0, 120.0], [100.0, 420.0]])
    drawn = draw(garment(polygons=[triangle]))
    np.testing.assert_array_equal(drawn[200, 160], blended(COLORS[0]))
    np.testing.assert_array_equal(drawn[380, 260], [120, 120, 120])


def test_a_mask_keeps_its_hole():
    mask = np.zeros((600, 500), dtype=bool)
    mask[150:400, 120:280] = True
    mask[220:330, 160:240] = False
    drawn = draw(garment(mask=mask))
    np.testing.assert_array_equal(drawn[190, 200], blended(COLORS[0]))
    np.testing.assert_array_equal(drawn[275, 200], [120, 120, 120])
    assert tuple(drawn[275, 160]) == COLORS[0] or tuple(drawn[275, 159]) == COLORS[0]  # the hole's outline


@pytest.mark.parametrize("small_first", [True, False])
def test_a_small_garment_lies_over_a_large_one(small_first):
    # The small one's top edge lies on the large one's.
    small, large = garment(box=(200.0, 120.0, 300.0, 200.0)), garment(box=(100.0, 120.0, 400.0, 420.0))
    drawn = draw(*((small, large) if small_first else (large, small)))
    assert tuple(drawn[120, 260]) == COLORS[0 if small_first else 1]


def test_a_box_that_leaves_the_picture_is_drawn_at_its_border():
    drawn = draw(garment(box=(-50.0, -20.0, 700.0, 900.0)))
    assert tuple(drawn[300, 0]) == tuple(drawn[300, 499]) == tuple(drawn[599, 200]) == COLORS[0]


@pytest.mark.parametrize("shape, enlarged", [((128, 128), (480, 480)), ((160, 120), (640, 480)), ((800, 640), None)])
def test_small_pictures_are_enlarged(shape, enlarged):
    height, width = shape
    image = np.full((*shape, 3), 120, dtype=np.uint8)
    drawn = draw(garment(box=(0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height)), image=image)
    height, width = enlarged or shape
    assert drawn.shape[0] == height
    assert tuple(drawn[height // 2, width // 4]) == COLORS[0]
    assert tuple(drawn[height // 2, width * 3 // 4]) == COLORS[0]


def test_long_cards_make_the_canvas_higher():
    many = labels("detail", *SCHEMA.group("detail").labels, score=0.5)
    assert draw(garment(detail=many), image=GRAY[:100]).shape[0] > 480


def test_drawing_repeats_and_leaves_its_input_alone():
    image = np.random.default_rng(0).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    before = image.copy()
    mask = np.zeros((200, 150), dtype=bool)
    mask[50:90, 30:80] = True
    one = garment(box=(30.0, 50.0, 80.0, 90.0), mask=mask, score=0.9, color=labels("color", "navy", score=0.5))
    np.testing.assert_array_equal(draw(one, image=image), draw(one, image=image))
    np.testing.assert_array_equal(image, before)


def test_a_view_with_swapped_channels_is_drawn_as_its_copy():
    image = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)[:, :, ::-1]
    np.testing.assert_array_equal(draw(garment(), image=image), draw(garment(), image=image.copy()))


def test_a_picture_without_garments_says_so():
    assert (draw()[:, 500:] < 200).any()


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)])
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(ValueError, match="expected a uint8"):
        draw(image=image)


def test_korean_text_needs_a_font(fresh_fonts):
    one = garment(color=labels("color", "navy"))
    np.testing.assert_array_equal(draw(one, language="ko"), draw(one, language="en"))


def test_korean_text_differs_from_english(hangul_font):
    one = garment(color=labels("color", "navy"))
    korean, english = draw(one, language="ko"), draw(one)
    assert korean.shape != english.shape or (korean != english).any()


@settings(max_examples=60, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(st.integers(-20, 90), st.integers(-20, 90), st.integers(1, 90), st.integers(1, 90)), max_size=9
    )
)
def test_numbers_never_overlap_and_stay_inside(boxes):
    tags = place_tags([(x, y, x + w, y + h) for x, y, w, h in boxes], side=10, width=100, height=80)
    for i, (x0, y0, x1, y1) in enumerate(tags):
        assert x0 >= 0 and y0 >= 0 and x1 <= 100 and y1 <= 80 and (x1 - x0, y1 - y0) == (10, 10)
        for other in tags[:i]:
            assert x1 <= other[0] or other[2] <= x0 or y1 <= other[1] or other[3] <= y0


def test_the_number_stands_in_the_first_free_corner():
    assert place_tags([(10, 20, 70, 60)] * 3, side=8, width=100, height=80) == [
        (10, 20, 18, 28),
        (62, 20, 70, 28),
        (10, 52, 18, 60),
    ]


def test_where_no_corner_is_free_the_nearest_cell_is_taken():
    # Four boxes in one place at the bottom: every corner ends in the same square.
    tags = place_tags([(0, 80, 1, 81)] * 4, side=10, width=100, height=80)
    assert tags == [(0, 70, 10, 80), (10, 70, 20, 80), (0, 60, 10, 70), (10, 60, 20, 70)]


def test_agreement():
    truth = garment(
        color=labels("color", "navy"),
        sub_color=labels("sub_color", "none"),
        fit=labels("fit", "loose"),
        material=labels("material", "knit", "lace"),
        print=labels("print", "solid"),
        detail=[],
    )
    said = garment(
        name="dress",
        color=labels("color", "navy", "black"),  # the best label counts
        sub_color=labels("sub_color", "white"),
        fit=[(UNSURE, 0.2)],  # neither right nor wrong
        length=labels("length", "crop"),  # the ground truth does not know
        material=labels("material", "lace", "denim"),
        print=labels("print", "stripe"),
        detail=[],
    )
    assert agreement(truth, said, SCHEMA) == {
        "": "wrong",
        "color": "right",
        "sub_color": "wrong",
        "material": "partly",
        "print": "wrong",
        "detail": "right",
    }
    assert agreement(truth, garment(material=labels("material", "lace", "knit")), SCHEMA) == {
        "": "right",
        "material": "right",
    }
    assert "" not in agreement(garment(name="unknown top", known=False), said, SCHEMA)


def test_a_comparison_pairs_garments_and_predictions(monkeypatch):
    sides = []
    monkeypatch.setattr(
        drawing, "draw_panel", lambda cards_, *rest: sides.append(cards_) or cards.draw_panel(cards_, *rest)
    )
    truth = [
        garment(box=(0.0, 0.0, 100.0, 100.0), fit=labels("fit", "loose")),
        garment(box=(200.0, 0.0, 300.0, 100.0), name="bottom"),
        garment(box=(0.0, 300.0, 100.0, 400.0), name="dress"),
    ]
    found = [
        garment(box=(400.0, 400.0, 480.0, 480.0), score=0.95),
        garment(box=(5.0, 300.0, 100.0, 400.0), name="outer", score=0.9),
        garment(box=(0.0, 5.0, 100.0, 100.0), score=0.8, fit=labels("fit", "loose", score=0.7)),
    ]
    picture = draw_comparison(GRAY, truth, found, SCHEMA, PARTS)
    left, right = sides
    assert [(card.number, card.title) for card in left] == [(1, "top"), (2, "bottom (not found)"), (3, "dress")]
    assert [(card.number, card.title, card.mark) for card in right] == [
        (1, "top 0.80", "right"),
        (3, "outer 0.90", "wrong"),
        (4, "top 0.95 (not in the ground truth)", ""),
    ]
    assert [line.mark for line in right[0].lines] == ["right"]
    assert left[2].color == right[1].color == COLORS[2]
    assert picture.shape[1] > 1000
    # The sign of a right line is in the picture, that of a wrong line is not: only a title is wrong.
    assert (picture == cards.MARKS["right"]).all(axis=2).any()
    assert not (picture == cards.MARKS["wrong"]).all(axis=2).any()


def test_a_comparison_without_garments_or_predictions():
    assert draw_comparison(GRAY, [], [], SCHEMA, PARTS).shape[1] > 1000
    assert draw_comparison(GRAY, [garment()], [], SCHEMA, PARTS).shape[1] > 1000
    assert draw_comparison(GRAY, [], [garment(score=0.9)], SCHEMA, PARTS).shape[1] > 1000


def plain(height, width, value):
    return np.full((height, width, 3), value, dtype=np.uint8)


def test_a_contact_sheet_by_hand():
    sheet = contact_sheet([plain(10, 20, 1), plain(30, 5, 2), plain(7, 40, 3)], columns=2, gap=2)
    # Columns 40 and 5 wide, rows 30 and 7 high, gaps of 2 around and between.
    assert sheet.shape == (30 + 7 + 6, 40 + 5 + 6, 3)
    expected = plain(43, 51, 255)
    expected[2:12, 2:22], expected[2:32, 44:49], expected[34:41, 2:42] = 1, 2, 3
    np.testing.assert_array_equal(sheet, expected)


def test_a_contact_sheet_shrinks_what_is_wide():
    assert contact_sheet([plain(50, 200, 9)], cell_width=100, gap=0).shape == (25, 100, 3)
    assert contact_sheet([plain(50, 200, 9)], cell_width=None, gap=0).shape == (50, 200, 3)


@pytest.mark.parametrize("images, columns", [([], 2), ([plain(5, 5, 0)], 0)])
def test_an_impossible_contact_sheet_is_refused(images, columns):
    with pytest.raises(ValueError, match="pictures and columns"):
        contact_sheet(images, columns)


@pytest.mark.parametrize("factor", [2, 5])
def test_boxes_numbers_and_cards_grow_with_the_picture(factor):
    side = 720
    box = np.array([0.25, 0.25, 0.75, 0.75])

    def drawn(side):
        image = np.full((side, side, 3), 128, dtype=np.uint8)
        return draw(garment(box=tuple(box * side), color=labels("color", "navy")), image=image)

    small, large = drawn(side), drawn(side * factor)
    assert small.shape[0] == side and large.shape[0] == side * factor
    assert large.shape[1] == pytest.approx(factor * small.shape[1], rel=0.02)

    def line_width(picture, side):
        row = picture[side // 2, side // 8 : side // 2].astype(int)  # crosses the box's left side
        return (np.abs(row - COLORS[0]).sum(axis=1) < 30).sum()

    assert line_width(large, side * factor) == pytest.approx(factor * line_width(small, side), rel=0.3)
