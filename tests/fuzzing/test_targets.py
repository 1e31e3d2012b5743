"""Every target on what hypothesis thinks of; minutes of the same with coverage are tools/fuzz.py's."""

import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing import checks, choices, targets
from fuzzing.archives import base_archives
from fuzzing.checks import check_archive, garments_in
from fuzzing.choices import Choices, base_annotations, mutate_annotation
from kfashion_d2.data.annotation.parser import Problem
from kfashion_d2.data.conversion import fast_parser
from kfashion_d2.data.conversion.fast_parser import FastParser
from kfashion_d2.data.sources import zip_index
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema()
QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def scratch(tmp_path_factory):
    before, os.environ["TMPDIR"] = os.environ.get("TMPDIR"), str(tmp_path_factory.getbasetemp())
    yield
    targets.clean_up()
    os.environ.pop("TMPDIR")
    if before is not None:
        os.environ["TMPDIR"] = before


@given(st.binary(max_size=120))
@settings(QUICK, max_examples=400)
def test_an_annotation_is_accounted_for(data):
    targets.annotation(data)


@given(st.binary(max_size=120))
@settings(QUICK, max_examples=200)
def test_both_parsers_agree(data):
    targets.fast_parser(data)


@given(st.binary(max_size=200))
@settings(QUICK, max_examples=400)
def test_an_archive_is_read_or_named(data):
    targets.archive(data)


@given(st.binary(max_size=300))
@settings(QUICK, max_examples=60)
def test_a_folder_is_converted(data):
    targets.conversion(data)


@given(st.binary(max_size=120))
@settings(QUICK, max_examples=100)
def test_a_coco_file_is_imported_or_named(data):
    targets.coco(data)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_seeds_break_nothing(name):
    for data in targets.seeds(name):
        targets.TARGETS[name](data)


def test_choices():
    some = Choices(bytes([7, 255, 1, 2, 3, 4, 5]))
    assert (some.below(4), some.pick("abc"), some.below(1000)) == (3, "a", 0x04030201 % 1000)
    assert some.take(9) == b"\5" and not some and some.below(9) == 0 and some.rest() == b""


def shape(value):
    """Of lists within lists, at any depth."""
    lengths = []
    while isinstance(value, list):
        lengths.append(len(value))
        value = value[0] if value else None
    return lengths


def test_mutations_leave_the_base_alone_and_reach_every_kind():
    *values, deep, deeper = choices.VALUES  # too deep to show
    before = repr((base_annotations(), values)), shape(deep), shape(deeper)
    seen = {repr(mutate_annotation(Choices(bytes([i % 10, 5, *range(i, i + 60)])))) for i in range(0, 190, 7)}
    assert len(seen) == 28
    for seed in range(2000):  # values go into values
        mutate_annotation(Choices(random.Random(seed).randbytes(40)))
    assert (repr((base_annotations(), values)), shape(deep), shape(deeper)) == before


def test_the_base_archives_are_sound(tmp_path):
    """By the number of entries that are read: one that leaves the folder is not, nor is an archive inside."""
    assert [check_archive(data, tmp_path / "a.zip") for data in base_archives()] == [3, 3, 1, 3, 3, 1, 1, 1, 0]


@pytest.mark.parametrize("parts", [["상의"], ["상의", "하의"]])
def test_garments_in_by_hand(parts):
    details = {"렉트좌표": {part: [{"X좌표": 1}, {}] for part in parts}, "라벨링": {"상의": [{}, {}, {"색상": "블랙"}]}}
    assert garments_in({"데이터셋 정보": {"데이터셋 상세설명": details}}) == len(parts) + 1
    assert garments_in([1]) == 0


class TestFaultsAreFound:
    """Each check sees a fault that is put in for it."""

    def test_a_lost_garment(self, monkeypatch):
        record = {"annotations": [], "height": 1, "width": 1}
        monkeypatch.setattr(checks, "parse_annotation", lambda obj, schema: (record, []))
        with pytest.raises(AssertionError):
            targets.annotation(b"\1\0\0")

    def test_parsers_that_differ(self, monkeypatch):
        noted = [Problem("", "x", "y", "noted")]
        read = checks.read_annotation

        def found(obj, schema):
            record, _, rects = read(obj, schema)
            return record, noted, rects

        monkeypatch.setattr(checks, "read_annotation", found)
        with pytest.raises(AssertionError):
            targets.fast_parser(b"")

    def test_another_box(self, monkeypatch):
        resolve = fast_parser.resolve_rows
        monkeypatch.setattr(fast_parser, "resolve_rows", lambda rows: (resolve(rows)[0] + 1, resolve(rows)[1]))
        with pytest.raises(AssertionError):
            targets.fast_parser(b"")

    def test_an_exception_that_is_none_of_ours(self, monkeypatch):
        monkeypatch.setattr(zip_index, "_decode_all", lambda raw, flags: [raw[0].as_py().decode("ascii")])
        with pytest.raises(UnicodeDecodeError):
            targets.archive(b"\1\0\0")

    def test_a_coco_file_whose_error_names_nothing(self, monkeypatch):
        monkeypatch.setattr(targets, "import_coco", lambda path, output: int("x"))
        with pytest.raises(AssertionError):
            targets.coco(b"")

    def test_a_garment_that_the_fast_way_loses(self, monkeypatch):
        read = FastParser._read
        shorter = lambda *args: (row := read(*args))._replace(garments=row.garments[1:])  # noqa: E731
        monkeypatch.setattr(FastParser, "_read", shorter)
        with pytest.raises(AssertionError):
            targets.conversion(b"")


def test_values_hold_what_only_pythons_parser_reads():
    assert any(value != value for value in choices.VALUES) and 10**400 in choices.VALUES
