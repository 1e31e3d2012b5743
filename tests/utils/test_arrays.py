import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kfashion_d2.utils.arrays import equals_neighbour, group_slices, last_of_equals, mean_of_measured, ratio_or_nan

ASCENDING = st.lists(st.integers(0, 5), max_size=12).map(sorted)


@given(ASCENDING)
def test_neighbours(values):
    assert equals_neighbour(np.array(values)).tolist() == [values.count(value) > 1 for value in values]


@given(ASCENDING)
def test_last_of_equals(values):
    expected = [i for i, value in enumerate(values) if value not in values[i + 1 :]]
    assert last_of_equals(np.array(values, dtype=np.int64)).tolist() == expected


def test_what_cannot_be_measured_is_nan():
    np.testing.assert_array_equal(ratio_or_nan(np.array([[1, 2, 0]]), np.array([4, 0, 2])), [[0.25, np.nan, 0]])
    assert mean_of_measured([1, np.nan, 4]) == 2.5 and np.isnan(mean_of_measured([np.nan]))


@given(ASCENDING)
def test_group_slices(values):
    slices = list(group_slices(np.array(values, dtype=np.int64)))
    assert [value for value, _ in slices] == sorted(set(values))
    assert [values[position] for _, position in slices] == [
        [value] * values.count(value) for value in sorted(set(values))
    ]
