import unicodedata
from unittest import mock

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from kfashion_d2.data.sources import paths as path_columns
from kfashion_d2.data.sources.paths import composed, cut_texts, split_paths

PATHS = st.lists(st.text(alphabet="a가1./\0 é", max_size=12))


def parts_one_by_one(path):
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    return folder, stem if dot else name, suffix if dot else ""


@given(PATHS, st.integers(0, 3))
def test_parts_equal_those_of_each_path(paths, start):
    column = pa.array(paths, pa.large_string())[start:]  # a part of a longer column, which it shares its bytes with
    with mock.patch.object(path_columns, "PIECE", 3):
        found = zip(*(part.to_pylist() for part in split_paths(column)), strict=True)
    assert list(found) == [parts_one_by_one(path) for path in paths[start:]]


def test_what_the_parts_of_a_path_are():
    column = pa.array(["Training/1.모던/116.v2.JSON", "json", "a.b/c", ".zip"], pa.large_string())
    assert split_paths(column).folders.to_pylist() == ["Training/1.모던", "", "a.b", ""]
    assert split_paths(column).names.to_pylist() == ["116.v2", "json", "c", ""]
    assert split_paths(column).suffixes.to_pylist() == ["JSON", "", "", "zip"]


def test_cuts_may_overlap_and_be_empty():
    content = np.frombuffer(b"abcdef", dtype=np.uint8)
    found = cut_texts(content, np.array([4, 0, 2, 6]), np.array([6, 3, 2, 6]))
    assert found.to_pylist() == [b"ef", b"abc", b"", b""]


@given(st.lists(st.text(alphabet="a\u1112\u1161\u11ab하é\u0301e", max_size=4)))
def test_composed(texts):
    found = composed(pa.array(texts, pa.large_string())).to_pylist()
    assert found == [unicodedata.normalize("NFC", text) for text in texts]
