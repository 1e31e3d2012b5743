import json
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing.checks import check_annotation
from fuzzing.choices import nested, positions
from kfashion_d2.data import parse_annotation
from kfashion_d2.data.annotation.geometry import resolve_geometry
from kfashion_d2.schema import kfashion_schema
from tests.data.annotations import LABELS, SQUARE, SQUARE_RECT, annotation, parse_one, polygon, rect

SCHEMA = kfashion_schema()
SAMPLES = Path(__file__).parents[4] / "shared" / "samples"


def test_a_clean_annotation():
    record, problems = parse_annotation(annotation(), SCHEMA)
    assert problems == []
    assert (record["image_id"], record["height"], record["width"]) == (7, 100, 60)
    assert (SCHEMA.styles.labels[record["style"]], SCHEMA.styles.labels[record["sub_style"]]) == ("modern", "classic")
    (anno,) = record["annotations"]
    assert anno["bbox"] == [10.5, 20.5, 40.0, 60.0]
    assert anno["segmentation"] == [[10.5, 20.5, 50.5, 20.5, 50.5, 80.5, 10.5, 80.5]]
    assert (anno["part"], anno["category_id"], anno["mask_valid"], anno["iscrowd"]) == ("top", 2, True, 0)
    assert anno["attributes"] == {
        "color": 0,
        "sub_color": 21,  # tier A was labelled: none
        "length": -1,
        "sleeve_length": 2,
        "neckline": 12,  # tier B was labelled: none
        "collar": 9,
        "fit": -1,
        "material": [18],
        "print": [0],
        "detail": [],
    }


def test_without_category_tier_b_is_unknown():
    anno, problems = parse_one(labels={"색상": "블랙"})
    assert anno["category_id"] == -1
    assert anno["attributes"] == {
        **dict.fromkeys(("length", "sleeve_length", "neckline", "collar", "fit"), -1),
        **{name: [-1] for name in ("material", "print", "detail")},
        "color": 0,
        "sub_color": 21,
    }
    assert problems == set()


def test_without_color_tier_a_is_unknown():
    anno, _ = parse_one(labels={"카테고리": "셔츠"})
    assert (anno["attributes"]["color"], anno["attributes"]["sub_color"], anno["attributes"]["collar"]) == (-1, -1, 9)


def test_what_does_not_apply_has_no_key():
    anno, problems = parse_one(part="하의", labels={"카테고리": "청바지", "넥라인": "브이넥"})
    assert not {"neckline", "collar", "sleeve_length"} & anno["attributes"].keys()
    assert problems == {("value of a group that does not apply to the part", "noted")}


@pytest.mark.parametrize(
    "labels, group, value, problem",
    [
        ({"색상": "블랙", "기장": "롱"}, "length", 2, ("expert value without a category", "noted")),
        ({**LABELS, "기장": "맥시"}, "length", 4, ("value unusual for the part", "noted")),
        ({**LABELS, "칼라": "너치드칼라"}, "collar", -1, ("guideline-only value", "repaired")),
        ({**LABELS, "옷깃": "없는칼라"}, "collar", -1, ("unknown value", "repaired")),
        (
            {**LABELS, "소재": ["면", "우븐", "저지", "우븐"]},
            "material",
            [15, 18],
            ("guideline-only value", "repaired"),
        ),
        ({**LABELS, "소재": ["면"]}, "material", [-1], ("guideline-only value", "repaired")),
        ({**LABELS, "소재": "우븐"}, "material", [15], ("wrong type", "repaired")),
        ({**LABELS, "핏": ["루즈"]}, "fit", 1, ("wrong type", "repaired")),
        ({**LABELS, "핏": ["루즈", "타이트"]}, "fit", -1, ("wrong type", "repaired")),
        ({**LABELS, "핏": 3}, "fit", -1, ("wrong type", "repaired")),
        ({**LABELS, "카테고리": "스커트", "핏": "루즈"}, "fit", 1, ("category of another part", "repaired")),
        ({**LABELS, "장식": "별"}, "color", 0, ("unknown key", "noted")),
    ],
)
def test_dirty_labels(labels, group, value, problem):
    anno, problems = parse_one(labels=labels)
    assert anno["attributes"][group] == value
    assert problem in problems


def test_aliases_and_decomposed_keys():
    labels = {"카테고리": "셔츠", "칼라": "테일러칼라", "프린트": ["하운즈\u00a0투스"], " 넥라인": "홀토넥"}
    decomposed = {unicodedata.normalize("NFD", key): value for key, value in labels.items()}
    for entry in (labels, decomposed):
        anno, problems = parse_one(labels=entry)
        values = anno["attributes"]
        assert (values["collar"], values["print"], values["neckline"], anno["category_id"]) == (7, [11], 3, 4)
        assert problems == set()


BOX = [10.5, 20.5, 40.0, 60.0]


@pytest.mark.parametrize(
    "rects, polygons, box, valid, reason",
    [
        ({}, SQUARE, BOX, True, "no rect"),
        (rect(10, 20, 0, 61), SQUARE, BOX, True, "rect without area"),
        (rect(10, 20, -5, 61), SQUARE, BOX, True, "rect without area"),
        (rect(math.nan, 20, 41, 61), SQUARE, BOX, True, "rect incomplete"),
        (rect(70, 20, 41, 61), SQUARE, BOX, True, "rect outside the image"),
        (SQUARE_RECT, {}, [10.0, 20.0, 41.0, 61.0], False, "no polygon"),
        (SQUARE_RECT, polygon((10, 20), (50, 80)), [10.0, 20.0, 41.0, 61.0], False, "polygon unsound"),
        (SQUARE_RECT, polygon((10, 20), (30, 50), (50, 80)), [10.0, 20.0, 41.0, 61.0], False, "polygon unsound"),
        (rect(30, 20, 29, 61), SQUARE, [30.0, 20.0, 29.0, 61.0], False, "polygon and rect disagree"),
        (rect(-10, 20, 41, 99), {}, [0.0, 20.0, 31.0, 80.0], False, "rect leaves the image"),
        (
            SQUARE_RECT,
            polygon((10.5, 20.5), (50.5, 20.5), (50.5, 80.5), (10.5, 80.5), (0, 0), (0, 0)),
            BOX,
            True,
            "stray (0, 0) at the polygon's end",
        ),
        (SQUARE_RECT, {**SQUARE, "X좌표5": 30.0}, BOX, True, "polygon point incomplete"),
        (SQUARE_RECT, {**SQUARE, "X좌표5": 30.0, "Y좌표5": math.inf}, BOX, True, "polygon point incomplete"),
        (SQUARE_RECT, {**SQUARE, "X좌표5": True, "Y좌표5": 4}, BOX, True, "polygon point incomplete"),
        (
            rect(10, 20, 61, 61),
            polygon((10.5, 20.5), (70.5, 20.5), (70.5, 80.5), (10.5, 80.5)),
            [10.5, 20.5, 49.5, 60.0],
            True,
            "polygon leaves the image",
        ),
    ],
)
def test_the_box_rule(rects, polygons, box, valid, reason):
    anno, problems = parse_one(rects=rects, polygons=polygons)
    assert anno["bbox"] == box
    assert anno["mask_valid"] == valid
    assert reason in {reason for reason, _ in problems}
    if not valid:
        x, y, w, h = box
        assert anno["segmentation"] == [[x, y, x + w, y, x + w, y + h, x, y + h]]


def test_the_threshold_of_agreement():
    """Two boxes of one height: the IoU is the ratio of their widths."""
    square = polygon((0, 0), (40, 0), (40, 50), (0, 50))
    assert resolve_geometry(rect(0, 0, 50, 50), square, 60, 60).bbox == [0, 0, 40, 50]  # IoU 0.8
    assert resolve_geometry(rect(0, 0, 51, 50), square, 60, 60).bbox == [0, 0, 51, 50]  # IoU 0.784


def test_points_are_sorted_by_number_not_by_text():
    points = [(10 + i, 20 + i * i % 7) for i in range(12)]
    entry = dict(sorted(polygon(*points).items()))  # X좌표1, X좌표10, X좌표11, X좌표12, X좌표2, ...
    assert resolve_geometry({}, entry, 100, 100).polygon == [float(value) for point in points for value in point]


def test_a_garment_without_geometry_is_dropped():
    record, problems = parse_annotation(annotation(rects={}, polygons={}), SCHEMA)
    assert record["annotations"] == []
    assert ("top", "no geometry", "dropped") in {(p.part, p.reason, p.action) for p in problems}


def test_several_garments_in_one_list():
    obj = annotation()
    details = obj["데이터셋 정보"]["데이터셋 상세설명"]
    details["렉트좌표"]["상의"].append(rect(5, 5, 20, 20))
    details["라벨링"]["상의"].append({"색상": "레드"})
    record, _ = parse_annotation(obj, SCHEMA)
    assert [(a["index"], a["bbox"][0], a["attributes"]["color"]) for a in record["annotations"]] == [
        (0, 10.5, 0),
        (1, 5, 3),
    ]


@pytest.mark.parametrize("size", [None, 0, -3, "100 px", "", 99.5, math.nan, True, [100]])
def test_without_an_image_size_all_is_dropped_and_counted(size):
    record, problems = parse_annotation(annotation(**{"이미지 높이": size}), SCHEMA)
    assert record is None
    dropped = [(p.part, p.reason) for p in problems if p.action == "dropped"]
    assert dropped == [("", "no image size"), ("top", "annotation dropped")]


def test_ids():
    obj = annotation(**{"이미지 식별자": "x"})
    assert parse_annotation(obj, SCHEMA)[0]["image_id"] == 7
    obj["데이터셋 정보"]["파일 번호"] = None
    assert parse_annotation(obj, SCHEMA)[0]["image_id"] is None
    record, problems = parse_annotation(annotation(**{"이미지 식별자": 8}), SCHEMA)
    assert record["image_id"] == 8
    assert [p.reason for p in problems] == ["two different ids"]


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["블랙", "면", "셔츠", "7부소매", " 노말 ", "", 10**400, -0.0]),
)
JSON = st.recursive(
    SCALARS,
    lambda child: (
        st.lists(child, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["이미지 정보", "데이터셋 정보", "데이터셋 상세설명", "렉트좌표", "라벨링", "상의", "색상", "x"]
            ),
            child,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_value_is_accounted_for(obj):
    check_annotation(obj, SCHEMA)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_mutated_annotation_is_accounted_for(data):
    obj = annotation(part=data.draw(st.sampled_from(["상의", "하의", "원피스", "아우터"])))
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from([p for p in positions(obj) if p]))
        target = obj
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = data.draw(JSON)
    check_annotation(obj, SCHEMA)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real samples are not beside this checkout")
class TestRealSamples:
    """All six garments, worked out by hand from the files."""

    def garments(self, image_id):
        record, problems = parse_annotation(json.loads((SAMPLES / f"{image_id}.json").read_text("utf-8")), SCHEMA)
        assert problems == []
        assert record["image_id"] == image_id
        return record, {anno["part"]: anno for anno in record["annotations"]}

    def words(self, anno):
        result = {}
        for name, value in anno["attributes"].items():
            group = SCHEMA.group(name)
            if group.is_single:
                result[name] = group.labels[value].name if value >= 0 else None
            else:
                result[name] = None if value == [-1] else sorted(group.labels[i].name for i in value)
        return result

    def test_100026(self):
        record, garments = self.garments(100026)
        assert (record["height"], record["width"], record["original_file_name"]) == (800, 800, "Ave29th_160_02.jpg")
        assert (SCHEMA.styles.labels[record["style"]], record["sub_style"]) == ("romantic", -1)
        assert garments.keys() == {"top", "bottom"}
        top, bottom = garments["top"], garments["bottom"]
        assert top["bbox"] == pytest.approx([260.644, 59.9236, 556.233 - 260.644, 395.457 - 59.9236], abs=1e-9)
        assert bottom["bbox"] == pytest.approx([321.56, 288.716, 505.304 - 321.56, 619.479 - 288.716], abs=1e-9)
        assert bottom["segmentation"] == [
            [321.56, 315.568, 325.554, 619.479, 505.304, 600.505, 497.315, 288.716, 326.553, 293.71, 325.554, 310.686]
        ]
        assert len(top["segmentation"][0]) == 24
        assert top["segmentation"][0][:4] == [350.519, 63.918, 260.644, 121.837]
        assert top["segmentation"][0][-4:] == [401.449, 116.844, 450.381, 62.9194]
        assert SCHEMA.categories.labels[top["category_id"]] == "blouse"
        assert SCHEMA.categories.labels[bottom["category_id"]] == "skirt"
        assert self.words(top) == {
            "color": "white",
            "sub_color": "silver",
            "length": "regular",
            "sleeve_length": "cap sleeve",
            "neckline": "v-neck",
            "collar": "bow collar",
            "fit": "loose",
            "material": ["lace", "woven"],
            "print": ["dot"],
            "detail": [],
        }
        assert self.words(bottom) == {
            "color": "white",
            "sub_color": "silver",
            "length": "knee-length",
            "fit": "regular",
            "material": ["lace", "woven"],
            "print": ["dot"],
            "detail": [],
        }

    @pytest.mark.parametrize(
        "image_id, part, corners, points, first, labels",
        [
            (
                1070263,
                "top",
                (129.004, 106.952, 750.004, 665.497),
                65,
                (697.004, 290.862),
                ("white", "three-quarter sleeve"),
            ),
            (1070263, "bottom", (241.004, 569.544, 602.004, 1046.31), 37, (600.004, 634.513), ("white",)),
            (1092253, "top", (162.781, 59.0011, 632.128, 614.168), 35, (169.771, 140.993), ("gray", "short sleeve")),
            (1092253, "bottom", (191.74, 536.398, 580.2, 1044.35), 26, (232.683, 608.391), ("beige",)),
        ],
    )
    def test_garments_without_a_category(self, image_id, part, corners, points, first, labels):
        record, garments = self.garments(image_id)
        assert (record["height"], record["width"], record["style"]) == (1049, 800, -1)
        assert garments.keys() == {"top", "bottom"}
        anno = garments[part]
        x0, y0, x1, y1 = corners
        assert anno["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0], abs=1e-9)
        assert len(anno["segmentation"][0]) == 2 * points
        assert tuple(anno["segmentation"][0][:2]) == first
        assert anno["mask_valid"]
        assert anno["category_id"] == -1
        known = {"color": labels[0], "sub_color": "none"}
        if part == "top":
            known["sleeve_length"] = labels[1]
        words = self.words(anno)
        assert {name: value for name, value in words.items() if value is not None} == known
        assert len(words) == (10 if part == "top" else 7)


@pytest.mark.parametrize("value", ["garbage", [[1, 2, 3, 4]], ["a"], 5])
@pytest.mark.parametrize("key", ["렉트좌표", "폴리곤좌표", "라벨링"])
def test_what_is_no_dict_is_a_garment_dropped(key, value):
    obj = annotation()
    obj["데이터셋 정보"]["데이터셋 상세설명"][key]["원피스"] = value
    record, problems = parse_annotation(obj, SCHEMA)
    assert [anno["part"] for anno in record["annotations"]] == ["top"]
    assert [p.reason for p in problems if p.action == "dropped" and p.part == "dress"] == ["no geometry"]


def test_a_part_that_does_not_exist_is_noted():
    obj = annotation()
    obj["데이터셋 정보"]["데이터셋 상세설명"]["렉트좌표"]["모자"] = [{"X좌표": 1}]
    assert ("", "렉트좌표", "unknown part", "noted", "모자") in parse_annotation(obj, SCHEMA)[1]


@pytest.mark.parametrize("spell", [lambda key: unicodedata.normalize("NFD", key), lambda key: f" {key}\u00a0"])
def test_coordinate_keys_in_any_spelling(spell):
    expected, _ = parse_annotation(annotation(), SCHEMA)
    obj = annotation()
    details = obj["데이터셋 정보"]["데이터셋 상세설명"]
    for key in ("렉트좌표", "폴리곤좌표"):
        details[key]["상의"] = [{spell(name): value for name, value in details[key]["상의"][0].items()}]
    record, problems = parse_annotation(obj, SCHEMA)
    assert record == expected and problems == []


@pytest.mark.parametrize(
    "points, sound",
    [
        ([(10, 20), (50, 80), (50, 20), (10, 80)], True),  # crosses itself: the signed area is 0
        ([(10, 20), (20, 20), (50, 20)], False),
        ([(0.1, 0.3), (0.2, 0.6), (0.3, 0.9), (0.7, 2.1)], False),  # a line, but for rounding
        ([(60, 1.5), (70, 58.5), (65, 71.25)], False),  # outside: clamped to a line
    ],
)
def test_a_polygon_needs_an_area(points, sound):
    obj = annotation(rects={}, polygons=polygon(*points))
    record, _ = parse_annotation(obj, SCHEMA)
    assert [anno["mask_valid"] for anno in record["annotations"]] == ([True] if sound else [])


def test_of_two_spellings_of_a_key_the_usual_one_counts():
    for labels in ({"칼라": "셔츠칼라", "옷깃": "밴드칼라"}, {"옷깃": "밴드칼라", "칼라": "셔츠칼라"}):
        anno, problems = parse_one(labels={"카테고리": "셔츠", **labels})
        assert SCHEMA.group("collar").labels[anno["attributes"]["collar"]].korean == "밴드칼라"
        assert problems == {("key given twice", "noted")}
    anno, _ = parse_one(labels={"카테고리": "셔츠", "옷깃": "", "칼라": "셔츠칼라"})
    assert SCHEMA.group("collar").labels[anno["attributes"]["collar"]].korean == "셔츠칼라"


def test_a_list_of_nothing_is_nothing():
    anno, problems = parse_one(labels={"카테고리": "셔츠", "디테일": [""]})
    assert anno["attributes"]["detail"] == [] and problems == set()


def test_half_a_surrogate_pair_is_repaired():
    obj = annotation(**{"이미지 파일명": "a\ud800.jpg"})
    record, problems = parse_annotation(obj, SCHEMA)
    assert record["original_file_name"] == "a?.jpg"
    assert [(p.key, p.reason, p.action) for p in problems] == [("이미지 파일명", "text is not Unicode", "repaired")]


@pytest.mark.parametrize("key", ["디테일", "핏", "스타일"])
def test_lists_deeper_than_the_stack(key):
    """A list of nothing is nothing however deep: a known none, or unknown where there is no such label."""
    obj = annotation(labels={"카테고리": "셔츠"})
    labels = obj["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]
    (labels["스타일"] if key == "스타일" else labels["상의"])[0][key] = nested(100_000)
    record, problems = parse_annotation(obj, SCHEMA)
    (anno,) = record["annotations"]
    assert anno["attributes"]["detail"] == [] and anno["attributes"]["fit"] == -1 and problems == []
    assert record["style"] == (-1 if key == "스타일" else 4)
