import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfashion_d2 import kfashion_schema
from kfashion_d2.evaluation.attributes.frequency_bands import BANDS, band_means, label_bands

SCHEMA = kfashion_schema().subset(["fit", "material"])  # 7 single, 25 multi labels


def test_bands_by_hand():
    yes = [100, 99, 10, 9, 1, 0, 5, 0]
    known = [1000, 1000, 1000, 1000, 1000, 1000, 50, 0]
    # At the thresholds themselves a label is in the upper band; 5 of 50 is a tenth.
    assert label_bands(yes, known).tolist() == [0, 1, 1, 2, 2, -1, 0, -1]
    assert label_bands(yes, known, head=0.5, mid=0.1).tolist() == [1, 2, 2, 2, 2, -1, 1, -1]
    assert label_bands(yes, known).dtype == np.int8


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1), st.integers(1, 10**6))
def test_bands_depend_on_shares_alone(counts, factor):
    yes, known = np.array([(min(pair), max(pair)) for pair in counts], dtype=np.int64).T
    assert (label_bands(yes, known) == label_bands(yes * factor, known * factor)).all()


@pytest.mark.parametrize(
    "yes, known, thresholds, message",
    [
        ([3], [2], {}, "label 0: 3 of 2"),
        ([0, -1], [2, 2], {}, "label 1: -1 of 2"),
        ([[1]], [[2]], {}, r"shapes \(1, 1\)"),
        ([1], [2, 2], {}, r"\(1,\) and \(2,\)"),
        ([1], [2], {"head": 0.01, "mid": 0.1}, "head=0.01, mid=0.1"),
    ],
)
def test_contradictions_are_refused(yes, known, thresholds, message):
    with pytest.raises(ValueError, match=message):
        label_bands(yes, known, **thresholds)


def test_means_by_hand():
    values = np.full(SCHEMA.num_labels, np.nan)
    bands = np.full(SCHEMA.num_labels, -1, dtype=np.int8)
    bands[:4], values[:4] = [0, 0, 1, 1], [0.5, 1.0, 0.25, np.nan]  # of fit
    bands[7:10], values[7:10] = [0, 2, 2], [0.0, 0.5, 0.7]  # of material
    values[11] = 9.0  # never seen in training
    means = band_means(values, bands, SCHEMA)
    assert means["single"]["head"] == (0.75, 2)
    assert means["single"]["mid"] == (0.25, 1)  # the NaN is left out
    assert math.isnan(means["single"]["tail"][0]) and means["single"]["tail"][1] == 0
    assert means["multi"]["head"] == (0.0, 1)
    assert means["multi"]["tail"] == (pytest.approx(0.6), 2)
    assert means["all"]["head"] == (0.5, 3)
    assert list(means["all"]) == list(BANDS)


def test_means_need_a_value_for_each_label():
    with pytest.raises(ValueError, match=r"values has shape \(3,\), but .* has 32 labels"):
        band_means(np.zeros(3), np.zeros(3, dtype=np.int8), SCHEMA)
