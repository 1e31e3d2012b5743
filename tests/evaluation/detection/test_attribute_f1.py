import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from kfashion_d2.evaluation.detection.attribute_f1 import F1_TYPES, chance_levels, count_attributes, f1_from_counts
from kfashion_d2.evaluation.detection.object_arrays import pack_attributes, pack_multi_hot


@settings(deadline=None)  # scikit-learn is slow now and then
@given(st.integers(1, 12).flatmap(lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2)))
def test_f1_is_scikit_learns_to_the_bit(pair):
    true, pred = (np.array(x, dtype=int) for x in pair)
    counts = [np.array([x.sum()]) for x in (true & pred, true, pred)]
    for f1_type in F1_TYPES:
        rows, average = (true, pred), f1_type.removeprefix("binary_")
        if not f1_type.startswith("binary_"):
            rows = (true[None], pred[None])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert f1_from_counts(*counts, len(true), f1_type)[0] == f1_score(*rows, average=average), f1_type


def test_attribute_ids_become_bits_in_the_order_of_the_vocabulary():
    packed, sound = pack_attributes([[70, 10], [], [30, 30], [11]], [70, 30, 10])
    assert np.unpackbits(packed, axis=1, count=3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert sound.tolist() == [True, True, True, False]
    assert count_attributes(packed).tolist() == [2, 0, 1, 0]


def test_chance_levels_by_hand():
    """Ten attributes; two garments have attribute 0, one of them 1 too."""
    rows = np.zeros((2, 10), dtype=bool)
    rows[:, 0] = rows[1, 1] = True
    found = chance_levels(pack_multi_hot(rows), 10)
    assert found["nothing/F1"] == pytest.approx((18 / 19 / 2 + 16 / 18 / 2) / 2)
    assert found["all_wrong/F1"] == pytest.approx((16 / 18 / 2 + 12 / 16 / 2) / 2)
    # The commonest answer is {0}: right for the first garment, half of the second's.
    assert found["commonest/F1"] == pytest.approx((1 + (2 / 3 + 16 / 17) / 2) / 2)
    assert (found["nothing/F150"], found["commonest/F150"], found["commonest/F175"]) == (0, 1, 1)


@pytest.mark.parametrize("attributes, all_wrong, nothing", [(10, 0.444, 0.474), (294, 0.498, 0.499)])
def test_what_the_macro_f1_of_one_attribute_hides(attributes, all_wrong, nothing):
    found = chance_levels(pack_multi_hot(np.eye(1, attributes)), attributes)
    assert found["all_wrong/F1"] == pytest.approx(all_wrong, abs=5e-4)
    assert found["nothing/F1"] == pytest.approx(nothing, abs=5e-4)


def test_an_unknown_type_is_named():
    with pytest.raises(ValueError, match="f1_type is 'mean'; choose one of binary_macro"):
        chance_levels(np.zeros((0, 1), dtype=np.uint8), 3, "mean")
