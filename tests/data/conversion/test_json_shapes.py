"""JSON as people and their tools leave it."""

import json

import pytest

from kfashion_d2.data import KFashionDataset, convert_dataset, parse_annotation
from kfashion_d2.data.conversion.convert import summary_table
from kfashion_d2.data.sources.json_faults import describe_json_fault
from kfashion_d2.schema import kfashion_schema
from tests.data.annotations import SQUARE, SQUARE_RECT, annotation, parse_one, with_id, write

SCHEMA = kfashion_schema()


def converted(data):
    """The only record, without its file, and the problems."""
    output = data.parent / "out"
    convert_dataset(data, output)
    rows = [{key: row[key] for key in row if "file" not in key} for row in KFashionDataset(output / "train")]
    lines = map(json.loads, (output / "problems.jsonl").read_text("utf-8").splitlines())
    return rows, {(line["key"], line["reason"], line["action"], line["value"]) for line in lines}


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def expected(tmp_path):
    write(tmp_path / "sound/data", "1.json", with_id(1))
    rows, problems = converted(tmp_path / "sound/data")
    assert problems == set()
    return rows


def as_texts(value):
    if isinstance(value, dict):
        return {key: as_texts(item) for key, item in value.items()}
    return [as_texts(item) for item in value] if isinstance(value, list) else str(value)


def test_numbers_as_text_are_numbers(data, expected):
    write(data, "1.json", as_texts(with_id(1)))
    rows, problems = converted(data)
    assert rows == expected
    assert problems == {
        (key, "numbers as text", "noted", value)
        for key, value in (
            ("이미지 높이", "100"),
            ("이미지 너비", "60"),
            ("이미지 식별자", "1"),
            ("파일 번호", "1"),
            ("렉트좌표", "10.0"),
            ("폴리곤좌표", "10.5"),
        )
    }


@pytest.mark.parametrize("text", [" 12.5 ", "+12.5", "1.25e1", "12.50"])
def test_texts_that_are_numbers(text):
    bbox = parse_one(rects={**SQUARE_RECT, "X좌표": text}, polygons={})[0]["bbox"]
    assert bbox == [12.5, 20.0, 41.0, 61.0]


@pytest.mark.parametrize("text", ["", "nan", "inf", "1,5", "12 px", "1e999", "0x10", "1_0", "١٢", "9" * 5000])
def test_texts_that_are_none(text):
    anno, problems = parse_one(rects={**SQUARE_RECT, "X좌표": text}, polygons=SQUARE)
    assert anno["bbox"] == [10.5, 20.5, 40.0, 60.0] and ("rect incomplete", "repaired") in problems


def test_korean_windows_writes_cp949(data, expected):
    data.mkdir()
    (data / "1.json").write_bytes(json.dumps(with_id(1), ensure_ascii=False).encode("cp949"))
    (data / "1.jpg").write_bytes(b"")
    assert converted(data) == (expected, {("", "text in cp949", "noted", None)})


@pytest.mark.parametrize(
    "content, fault",
    [
        ('{\n "이미지 정보": {"a": 1,\n }}', "line 3, column 2: comma before }"),
        ("[1, 2, ]", "line 1, column 8: comma before ]"),
        ("", "line 1, column 1: the file is empty"),
        ('{"이미지 정보": {"a"', "line 1, column 16: the file ends too early"),
        ('{"이미지 정보": "a', "line 1, column 12: the file ends too early"),
        ("{'a': 1}", "line 1, column 2: single quotes"),
        ('{"a": 1} // 끝', "line 1, column 10: a comment"),
        ('{"a": 1} {"a": 2}', "line 1, column 10: something follows the JSON value"),
        ('{\n // 설명\n"a": 1}', "line 2, column 2: a comment"),
        ('{"a": None}', "line 1, column 7: a value as Python writes it"),
        ('{"a": 1 "b": 2}', "line 1, column 9: a comma is missing"),
        ("<html></html>", "line 1, column 1: HTML or XML"),
        ("version https://git-lfs.github.com/spec/v1\n", "line 1, column 1: a pointer of Git LFS in place of the file"),
        ("[" * 5000, "nested too deep"),
        ('{"a": tru}', "line 1, column 7: expecting value"),
        ("이미지, {".encode("cp949"), "line 1, column 1: expecting value"),
        (b'{"\xff\xff": 1}', "byte 3: neither UTF-8 nor cp949"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_told_with_its_position_and_cause(data, content, fault):
    data.mkdir()
    (data / "1.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert converted(data) == ([], {("", "not JSON", "dropped", fault)})


def test_newer_pythons_point_to_the_comma():
    text = '{"a": 1 , }'
    assert describe_json_fault(json.JSONDecodeError("Illegal trailing comma before end of object", text, 8)) == (
        "line 1, column 9: comma before }"
    )


def test_json_inside_json_is_opened(data, expected):
    obj = with_id(1)
    wrapped = {key: json.dumps(value, ensure_ascii=False) for key, value in obj.items()}
    tables = with_id(1)
    details = tables["데이터셋 정보"]["데이터셋 상세설명"]
    details["렉트좌표"] = json.dumps(details["렉트좌표"])
    details["폴리곤좌표"]["상의"] = json.dumps(details["폴리곤좌표"]["상의"])
    cases = [
        (wrapped, {"이미지 정보", "데이터셋 정보"}),
        (json.dumps(json.dumps(wrapped)), {"", "이미지 정보", "데이터셋 정보"}),
        (tables, {"렉트좌표", "폴리곤좌표"}),
    ]
    for content, keys in cases:
        write(data, "1.json", content)
        assert converted(data) == (expected, {(key, "JSON inside JSON", "repaired", None) for key in keys})
    write(data, "1.json", [obj])
    assert converted(data) == (expected, {("", "annotation inside a list", "repaired", None)})


def test_several_annotations_in_one_file_are_named(data):
    write(data, "1.json", [with_id(1), with_id(2)])
    assert converted(data) == ([], {("", "several annotations in one file", "dropped", 2)})


def test_sizes_of_zero_and_empty_splits_are_told(data):
    obj = with_id(1, **{"이미지 높이": 0})
    _, problems = parse_annotation(obj, SCHEMA)
    assert ("no image size", {"이미지 높이": 0, "이미지 너비": 60}) in [(p.reason, p.value) for p in problems]
    write(data, "1.json", obj)
    summary = convert_dataset(data, data.parent / "out")
    assert "The split train is empty: none of its 1 annotations was kept." in summary_table(summary)


@pytest.mark.parametrize(
    "labels, collar, detail, sub_color",
    [
        ({"카테고리": "셔츠", "색상": "블랙"}, "none", [], "none"),
        ({"카테고리": "long_sleeved_shirt", "색상": "블랙"}, -1, [-1], "none"),
        ({"카테고리": "셔츠", "색상": "black-ish"}, "none", [], -1),
        ({"카테고리": "청바지", "색상": "블랙"}, "none", [], "none"),  # of another part, but an expert's word
    ],
)
def test_a_value_that_nobody_has_heard_of_is_no_experts(labels, collar, detail, sub_color):
    attributes = parse_one(labels=labels)[0]["attributes"]
    for name, value in (("collar", collar), ("sub_color", sub_color)):
        assert attributes[name] == (SCHEMA.group(name).none_index if value == "none" else value)
    assert attributes["detail"] == detail


def test_the_winner_of_two_annotations_is_named(data):
    for name in ("가/1.json", "나/1.json", "다/1.json"):
        obj = with_id(1)
        obj["데이터셋 정보"]["파일 생성일자"] = f"2020-01-0{'나다가'.index(name[0]) + 1}"
        write(data, name, obj)
    convert_dataset(data, data.parent / "out")
    lines = map(json.loads, (data.parent / "out/problems.jsonl").read_text("utf-8").splitlines())
    named = [(line["path"], line["kept"]) for line in lines if line["reason"].startswith("duplicate id")]
    assert named == [("나/1.json", "가/1.json"), ("다/1.json", "가/1.json")]


def test_problems_and_summary_are_readable_korean(data):
    write(data, "모던/1.json", with_id(1, labels={"카테고리": "셔츠", "핏": "아주\u00a0헐렁\u2028한\x85것"}))
    convert_dataset(data, data.parent / "out")
    text = (data.parent / "out/problems.jsonl").read_text("utf-8")
    assert '"path": "모던/1.json"' in text and '"key": "핏"' in text
    # But for what looks like a space, or ends a line for some readers.
    assert '"아주\\u00a0헐렁\\u2028한\\u0085것"' in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["value"] for line in lines if line["reason"] == "unknown value"} == {"아주\u00a0헐렁\u2028한\x85것"}
    assert "\\u" not in (data.parent / "out/summary.json").read_text("utf-8")


def test_a_record_of_texts_equals_that_of_numbers():
    """By the parser itself, with everything as text that is a number."""
    assert parse_annotation(as_texts(annotation()), SCHEMA)[0] == parse_annotation(annotation(), SCHEMA)[0]
