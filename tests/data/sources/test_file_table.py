import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfashion_d2.data.sources.file_table import FileColumnsBuilder, Folder
from kfashion_d2.data.sources.paths import NO_ID, split_paths, stem_id, stem_ids, stem_of, text_column

FOLDER = Folder("train", "모던", True)
COMPOSED = "하"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED) + ".jpg"


@given(st.lists(st.text(alphabet="0129٣가x -+.", max_size=21)))
def test_ids_of_stems_equal_each_ones(stems):
    assert stem_ids(pa.array(stems, pa.large_string())).tolist() == [stem_id(stem) for stem in stems]


@pytest.mark.parametrize(
    "stem, image_id",
    [("116", 116), ("0007", 7), ("9" * 18, 10**18 - 1), ("1" + "0" * 18, NO_ID), ("-1", NO_ID), ("", NO_ID), ("٣", 3)],
)
def test_what_is_an_id(stem, image_id):
    assert stem_ids(pa.array([stem], pa.large_string())).tolist() == [stem_id(stem)] == [image_id]


@given(st.lists(st.text(alphabet="a/.1가하\N{COMBINING ACUTE ACCENT}e", min_size=1, max_size=12), min_size=1))
def test_stems_of_a_column_equal_each_paths(paths):
    builder = FileColumnsBuilder()
    column = pa.array(paths, pa.large_string())
    builder.extend(column, split_paths(column).names, np.full(len(paths), builder.folder_id(FOLDER)))
    assert builder.finish().stems.to_pylist() == [stem_of(path) for path in paths]


def test_stems_are_composed_and_faults_stay_with_their_files():
    builder = FileColumnsBuilder()
    ids = np.full(1, builder.folder_id(FOLDER))
    plain, packed = (pa.array([path], pa.large_string()) for path in ("a/1.json", f"b/{DECOMPOSED}"))
    builder.extend(plain, split_paths(plain).names, ids)
    numbers = np.array([[2, 10, 20, 30, 8, 99]])
    builder.extend(packed, split_paths(packed).names, ids, numbers, {0: "zip entry encrypted"})
    positions = builder.finish()
    assert positions.stems.to_pylist() == ["1", COMPOSED]
    some = positions.take(np.array([1, -1, 0]))
    assert some.paths == [f"b/{DECOMPOSED}", "", "a/1.json"]
    assert some.numbers[:, 0].tolist() == [2, -1, -1]
    assert some.faults == {0: "zip entry encrypted"}


def test_names_that_are_not_unicode_are_written_with_escapes():
    column, positions = text_column(["모던/1.json", "모던/\udcff.json", "\\udcff"])
    assert column.to_pylist() == ["모던/1.json", "모던/\\udcff.json", "\\udcff"]
    assert positions == [1]
