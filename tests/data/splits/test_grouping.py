from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kfashion_d2.data.splits.grouping import KINDS, ImagePairs, connected_groups, find_image_pairs, near_pairs


def pairs(datasets, **options):
    ids = np.concatenate([dataset.image_ids for dataset in datasets])
    pairs = find_image_pairs(datasets, **options)
    assert (pairs.first < pairs.second).all()
    found = zip(ids[pairs.first].tolist(), ids[pairs.second].tolist(), pairs.kind.tolist(), strict=True)
    return sorted((a, b, KINDS[kind]) for a, b, kind in found)


def test_looks_and_contents_by_hand(splits):
    # Equal names that are no look (x.jpg) say nothing; AB_01 has no look either.
    expected = [(1, 2, "same look"), (1, 6, "same look"), (4, 7, "same content")]
    assert pairs(splits) == expected


def test_pictures_by_hand(splits):
    pytest.importorskip("imagehash")
    near = [(a, b) for a, b, kind in pairs(splits, images=True) if kind == "nearly the same"]
    assert near == [(3, 8), (4, 7)]
    assert pairs(splits, images=True, workers=2) == pairs(splits, images=True)


def test_a_missing_image_has_no_content(splits, caplog):
    for dataset in splits:
        for record in dataset:
            if record["image_id"] in (4, 7):
                Path(record["file_name"]).unlink()
    assert [pair for pair in pairs(splits) if pair[2] == "same content"] == []
    assert "2 of 9 images cannot be read" in caplog.text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=12, unique=True),
    st.lists(st.tuples(st.integers(0, 11), st.sets(st.integers(0, 63), max_size=6)), max_size=12),
    st.integers(0, 5),
)
def test_near_pairs_are_all_pairs_within_the_distance(hashes, changes, distance):
    for position, bits in changes:
        if hashes:
            hashes = [*hashes, hashes[position % len(hashes)] ^ sum(1 << bit for bit in bits)]
    hashes = sorted(set(hashes))
    expected = [
        (i, j) for i, j in combinations(range(len(hashes)), 2) if (hashes[i] ^ hashes[j]).bit_count() <= distance
    ]
    a, b = near_pairs(np.array(hashes, dtype=np.uint64), distance)
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == expected


def test_groups_join_through_others():
    pairs = ImagePairs(np.array([0, 3, 1]), np.array([3, 4, 2]), np.zeros(3, np.int8))
    groups = connected_groups(pairs, 6)
    assert len(set(groups.tolist())) == 3
    assert groups[0] == groups[3] == groups[4] and groups[1] == groups[2] and groups[5] not in groups[:5]
