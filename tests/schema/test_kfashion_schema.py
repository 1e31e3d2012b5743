import json
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import kfashion_d2.schema
from kfashion_d2.schema import UNSURE, AttributeSchema, Label, LabelIndex, kfashion_schema

SCHEMA = kfashion_schema()
SIZES = {  # counted by hand in the data's description; a "none" label more where absence can mean none
    "color": 21,
    "sub_color": 22,
    "length": 9,
    "sleeve_length": 6,
    "neckline": 13,
    "collar": 10,
    "fit": 7,
    "material": 25,
    "print": 21,
    "detail": 40,
}


def test_columns_follow_the_groups():
    assert {group.name: group.num_labels for group in SCHEMA.groups} == SIZES
    assert SCHEMA.num_labels == 174
    assert SCHEMA.slice("length") == slice(43, 52)
    assert SCHEMA.slice("detail") == slice(134, 174)


def test_part_mode_appends_the_category():
    schema = SCHEMA.for_classes("part")
    assert schema.num_labels == 195
    assert schema.group_names[-1] == "category"
    assert [schema.group("category").labels[i] for i in schema.group("category").part_labels["dress"]] == [
        "dress",
        "jumpsuit",
    ]


def test_class_modes():
    assert len(SCHEMA.thing_classes("category")) == 21
    assert SCHEMA.thing_classes("part") == ("top", "bottom", "outer", "dress")
    assert SCHEMA.thing_classes("category_or_part")[21:] == ("other top", "other bottom", "other outer", "other dress")
    assert SCHEMA.class_parts("category_or_part")[19:] == (3, 3, 0, 1, 2, 3)
    with pytest.raises(ValueError, match="category_or_part"):
        SCHEMA.thing_classes("garment")


@pytest.mark.parametrize(
    "group, spelling, name",
    [
        ("length", "노말", "regular"),
        ("fit", "노말", "regular"),
        ("print", "하운즈 투스", "houndstooth"),
        ("print", "하운즈\u00a0투스", "houndstooth"),
        ("neckline", "홀토넥", "halter neck"),
        ("neckline", "원 숄더", "one-shoulder"),
        ("collar", "테일러칼라", "tailored collar"),
        ("collar", " 피터팬칼라 ", "peter pan collar"),
        ("detail", "니트꽈배기", "cable knit"),
        ("detail", "퀼팅", "quilting"),
        ("detail", "x스트랩", "cross strap"),
        ("material", "헤어니트", "hairy knit"),
        ("material", "비닐 / PVC", "vinyl/PVC"),
    ],
)
def test_aliases_resolve_composed_and_decomposed(group, spelling, name):
    for form in ("NFC", "NFD"):
        index = SCHEMA.group(group).find(unicodedata.normalize(form, spelling))
        assert SCHEMA.group(group).labels[index] == name


def test_aliases_outside_the_groups():
    assert SCHEMA.styles.labels[SCHEMA.styles.find("키치/키덜트")] == "kitsch"
    assert SCHEMA.styles.labels[SCHEMA.styles.find("젠더리스/젠더플루이드")] == "genderless"
    assert SCHEMA.styles.labels[SCHEMA.styles.find("스트릿")] == "street"
    assert SCHEMA.categories.labels[SCHEMA.categories.find("레깅스")] == "leggings"
    assert "칼라" in SCHEMA.group("collar").korean_keys


def test_what_is_not_a_label():
    assert SCHEMA.group("collar").find("너치드칼라") is None
    assert SCHEMA.group("neckline").find("없음") is None  # stands for absence, never a value of a file
    assert SCHEMA.group("sleeve_length").find("없음") == 0  # a real value: no sleeve at all


def test_encode_tells_yes_no_and_unknown_apart():
    row = SCHEMA.encode({"color": 1, "neckline": 12, "material": [-1], "detail": [], "fit": -1}, "top")
    assert row.dtype == np.int8
    assert row[:21].tolist() == [0, 1] + [0] * 19
    assert row[SCHEMA.slice("neckline")].tolist() == [0] * 12 + [1]
    assert (row[SCHEMA.slice("detail")] == 0).all()
    for name in ("material", "fit", "sub_color", "print"):
        assert (row[SCHEMA.slice(name)] == -1).all()


def test_encode_blanks_what_the_part_cannot_have():
    assert (SCHEMA.encode({"sleeve_length": 2}, "bottom") == -1).all()


@pytest.mark.parametrize("attributes", [{"color": 21}, {"color": [1]}, {"material": 3}, {"material": [25]}])
def test_encode_refuses(attributes):
    with pytest.raises(ValueError, match=next(iter(attributes))):
        SCHEMA.encode(attributes, "top")


def test_decode_orders_and_cuts():
    row = np.zeros(174)
    row[[1, 2, 3]] = 0.5, 0.3, 0.2
    row[SCHEMA.slice("material").start + np.array([3, 15])] = 0.6, 0.9
    words = SCHEMA.decode(row, {"material": 0.7}, top_k=2)
    assert words == {"color": [("white", 0.5), ("gray", 0.3)], "material": [("woven", 0.9)]}
    assert words["color"][0][0].korean == "화이트"


def test_decode_is_unsure_below_a_single_groups_threshold():
    row = np.zeros(174)
    row[[1, 2, 3]] = 0.5, 0.3, 0.2
    row[SCHEMA.slice("fit").start] = 0.5
    assert SCHEMA.decode(row, {"color": 0.5, "fit": 0.6}) == {"color": [("white", 0.5)], "fit": [(UNSURE, 0.5)]}
    assert SCHEMA.decode(row, {"color": 0.51}, top_k=2)["color"] == [(UNSURE, 0.5), ("white", 0.5), ("gray", 0.3)]
    assert SCHEMA.decode(row, 0.9)["color"] == [("white", 0.5)]  # one number is for multi-label groups
    assert UNSURE.korean == "불확실"


def test_no_label_can_be_called_unsure():
    with pytest.raises(ValueError, match="rename it"):
        LabelIndex([Label("red"), Label("unsure")])


def test_hash_tells_schemas_apart_and_is_stable():
    assert SCHEMA.subset([]).hash == SCHEMA.hash == AttributeSchema.from_file(_yaml()).hash
    hashes = {SCHEMA.hash, SCHEMA.for_classes("part").hash, SCHEMA.subset(["fit", "color"]).hash}
    assert len(hashes | {SCHEMA.subset(["color", "fit"]).hash}) == 4


def test_labels_are_strings_that_pickle():
    label = SCHEMA.group("print").labels[0]
    assert json.dumps(label) == '"solid"'
    assert pickle.loads(pickle.dumps(label)).korean == "무지"


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match=r"'hem'.*color, sub_color"):
        SCHEMA.subset(["hem"])


def test_from_file_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.yaml"):
        AttributeSchema.from_file(tmp_path / "absent.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text(_yaml().read_text(encoding="utf-8").replace("kind: multi", "kind: many", 1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad\.yaml, group 'material': kind is 'many'"):
        AttributeSchema.from_file(bad)


def _yaml():
    from kfashion_d2.schema import attribute_schema

    return attribute_schema._YAML


def test_schemas_compare_by_content(tmp_path):
    path = Path(kfashion_d2.schema.__file__).with_name("kfashion.yaml")
    again = AttributeSchema.from_file(path)
    assert again is not SCHEMA and again == SCHEMA and hash(again) == hash(SCHEMA)
    assert again.for_classes("part") == SCHEMA.for_classes("part") != SCHEMA
    assert SCHEMA.subset(["color"]) != SCHEMA.subset(["length"]) and SCHEMA != "kfashion"
    text = path.read_text("utf-8")
    for old, new in (
        ("{레깅스: 래깅스}", "{레깅쓰: 래깅스}"),
        ("red: 레드", "red: 빨강"),
        ("version: 1", "version: 2"),
    ):
        assert text.count(old) >= 1
        (tmp_path / "other.yaml").write_text(text.replace(old, new), "utf-8")
        assert AttributeSchema.from_file(tmp_path / "other.yaml") != SCHEMA
