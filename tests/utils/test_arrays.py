import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kfashion_d2.utils.arrays import equals_neighbour, group_slices

ASCENDING = st.lists(st.integers(0, 5), max_size=12).map(sorted)


@given(ASCENDING)
def test_neighbours(values):
    assert equals_neighbour(np.array(values)).tolist() == [values.count(value) > 1 for value in values]


@given(ASCENDING)
def test_runs(values):
    found = list(group_slices(np.array(values, dtype=np.int64)))
    assert [value for value, _ in found] == sorted(set(values))
    assert [values[position] for _, position in found] == [
        [value] * values.count(value) for value in sorted(set(values))
    ]
