import copy
import json
import math
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing.checks import check_fast_parser, row_of
from fuzzing.choices import positions
from kfashion_d2.data import parse_annotation
from kfashion_d2.data.annotation.parser import read_annotation
from kfashion_d2.data.conversion.fast_parser import FastParser
from kfashion_d2.data.conversion.rows import merge_rows, record_row, resolve_rows, rows_to_table
from kfashion_d2.data.store.schema import parsed_schema
from kfashion_d2.schema import AttributeSchema, Label, LabelIndex, kfashion_schema
from kfashion_d2.synthetic.demo import draw_example

SCHEMA = kfashion_schema()
PARSER = FastParser(SCHEMA)


def demo_annotation(index, with_faults=False):
    example = draw_example(3, 0, index, image_size=(160, 120), with_faults=with_faults, with_image=False, schema=SCHEMA)
    return json.loads(json.dumps(example.annotation))


CLEAN = [demo_annotation(i) for i in range(6)]


def check(objs):
    """The rows that it takes, which equal the slow parser's."""
    return check_fast_parser(objs, PARSER, SCHEMA)


def test_takes_every_clean_annotation():
    assert check(CLEAN) == list(range(len(CLEAN)))


def test_takes_nearly_all_that_the_parser_finds_no_fault_with():
    objs = [demo_annotation(i, with_faults=True) for i in range(40)]
    faultless = [i for i, obj in enumerate(objs) if parse_annotation(obj, SCHEMA)[1] == []]
    taken = check(objs)
    assert set(taken) <= set(faultless) and 0.8 * len(faultless) < len(taken)  # the others hold a spelling to fold
    assert 5 < len(faultless) < 40


def test_slow_rows_stand_among_the_fast_ones_as_dicts_would():
    objs = [demo_annotation(i, with_faults=True) for i in range(100)]
    fast, slow, expected = [], [], []
    for number, obj in enumerate(objs):
        record, _, rects = read_annotation(obj, SCHEMA)
        row = PARSER.read(obj)
        if row is not None and resolve_rows([row])[1].all():
            fast.append((number, row))
        elif record is not None:
            slow.append((number, record_row(record, rects, SCHEMA)))
        expected += [row_of(record, rects, SCHEMA)] if record else []
    assert len(fast) > 5 and len(slow) > 5
    rows, geometry = merge_rows(fast, resolve_rows([row for _, row in fast])[0], slow)
    table = rows_to_table([row for _, row in rows], geometry, SCHEMA)
    assert repr(table.to_pylist()) == repr(expected)  # NaN is not equal to itself


def test_a_schema_of_one_part_and_a_group_too_large():
    groups = [group for group in SCHEMA.groups if "dress" in group.part_labels][:2]
    parts = {
        "name": "one",
        "version": 1,
        "parts": LabelIndex([Label("top", "상의")]),
        "categories": LabelIndex([Label("shirt", "셔츠")]),
        "category_parts": [0],
        "styles": SCHEMA.styles,
        "keys": SCHEMA.keys,
    }
    one = AttributeSchema(groups=groups, **parts)
    obj = copy.deepcopy(CLEAN[0])
    details = obj["데이터셋 정보"]["데이터셋 상세설명"]
    for table in details.values():
        for part in ("아우터", "하의", "원피스"):
            del table[part]
    details["라벨링"]["상의"] = [{"카테고리": "셔츠"}]
    assert len(FastParser(one).parse([obj])[0]) == 1
    many = replace(groups[0], index_of=LabelIndex([Label(f"label {i}") for i in range(200)]))
    with pytest.raises(ValueError, match="200 labels"):
        parsed_schema(AttributeSchema(groups=[many], **parts))


def test_nothing_to_take():
    rows, table = PARSER.parse([None, [], {}, {"이미지 정보": 3}])
    assert rows.tolist() == [] and table.num_rows == 0
    assert PARSER.parse([])[1].schema == parsed_schema(SCHEMA)


def test_an_image_without_garments():
    obj = copy.deepcopy(CLEAN[0])
    for table in obj["데이터셋 정보"]["데이터셋 상세설명"].values():
        for part in table:
            if part != "스타일":
                table[part] = [{}]
    assert check([CLEAN[1], obj, CLEAN[2]]) == [0, 1, 2]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-5, 200),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", " ", "블랙", "티셔츠", "하운즈\u00a0투스", "무지", "X좌표1", 0.0, -0.0, 1e7, -1e-9, 160, 120.5]
    ),
    st.lists(st.sampled_from(["무지", "체크", "우븐", {}, None, 1]), max_size=3),
    st.dictionaries(st.sampled_from(["스타일", "색상", "기장", "X좌표1", "Y좌표1"]), st.integers(0, 9), max_size=2),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_mutation_is_parsed_equally_or_left_alone(data):
    obj = copy.deepcopy(CLEAN[data.draw(st.integers(0, len(CLEAN) - 1))])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(positions(obj))[1:]))
        parent = obj
        for key in path[:-1]:
            parent = parent[key]
        action = data.draw(st.sampled_from(["set", "delete", "copy"]))
        if action == "set":
            parent[path[-1]] = data.draw(VALUES)
        elif action == "delete":
            del parent[path[-1]]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[path[-1]]))
        else:
            parent[f"{path[-1]} "] = parent[path[-1]]
        if len(list(positions(obj))) == 1:
            break
    check([CLEAN[0], orjson.loads(orjson.dumps(obj)), CLEAN[1]])


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0])
def test_the_box_rule_at_its_border(shift):
    """A rect moved away from its polygon, through the IoU of 0.8."""
    obj = copy.deepcopy(CLEAN[0])
    tables = obj["데이터셋 정보"]["데이터셋 상세설명"]
    part = next(part for part, (rect,) in tables["렉트좌표"].items() if rect)
    tables["렉트좌표"][part][0]["X좌표"] += shift
    rows = check([obj])
    assert (rows == [0]) == (parse_annotation(obj, SCHEMA)[1] == [])


def test_boxes_are_the_polygons_bounds():
    _, table = PARSER.parse(CLEAN)
    polygon = np.array(table["polygon"][0][0].as_py()).reshape(-1, 2)
    x, y, w, h = table["bbox"][0][0].as_py()
    assert (x, y) == tuple(polygon.min(axis=0))
    assert math.isclose(x + w, polygon[:, 0].max()) and math.isclose(y + h, polygon[:, 1].max())


@pytest.mark.parametrize("table", ["렉트좌표", "폴리곤좌표", "라벨링"])
def test_a_part_that_nobody_has_heard_of_is_left_to_the_slow_way(table):
    obj = copy.deepcopy(CLEAN[0])
    obj["데이터셋 정보"]["데이터셋 상세설명"][table]["모자"] = [{"X좌표": 1}]
    assert check([obj, CLEAN[1]]) == [1]


@pytest.mark.filterwarnings("error")
def test_coordinates_beyond_all_measure():
    obj = copy.deepcopy(CLEAN[0])
    tables = obj["데이터셋 정보"]["데이터셋 상세설명"]
    part = next(part for part, (polygon,) in tables["폴리곤좌표"].items() if polygon)
    tables["폴리곤좌표"][part][0].update({"X좌표1": 1e308, "Y좌표2": 1e308})
    assert check([CLEAN[1], obj, CLEAN[2]]) == [0, 2]
