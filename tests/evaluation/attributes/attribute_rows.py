"""Small schemas, and rows of scores and targets for them."""

import numpy as np

from kfashion_d2.schema import AttributeGroup, AttributeSchema, Label, LabelIndex


def make_schema(**groups: tuple[str, int]) -> AttributeSchema:
    """Make a schema of one part from groups by name: their kind and their number of labels."""
    parts = LabelIndex([Label("top", "상의")])
    return AttributeSchema(
        name="test",
        version=1,
        groups=[
            AttributeGroup(
                name=name,
                korean=f"한{name}",
                kind=kind,
                index_of=LabelIndex([Label(f"{name}{i}") for i in range(count)]),
                tier="A",
                absent="unknown",
                part_labels={"top": tuple(range(count))},
            )
            for name, (kind, count) in groups.items()
        ],
        parts=parts,
        categories=LabelIndex([Label("shirt")]),
        category_parts=[0],
        styles=LabelIndex([Label("plain")]),
        keys={"category": "카테고리"},
    )


SCHEMA = make_schema(cut=("single", 4), trim=("multi", 3), fit=("single", 3), print=("multi", 5))


def one_hot(ids, count):
    """Give int8 rows of targets; the label -1 gives a row that is unknown."""
    rows = np.full((len(ids), count), -1, dtype=np.int8)
    for row, label in zip(rows, ids, strict=True):
        if label >= 0:
            row[:] = 0
            row[label] = 1
    return rows


def random_rows(seed, num_rows, decimals=1):
    """Draw scores with many ties, and targets with unknown single rows and unknown multi entries."""
    rng = np.random.default_rng(seed)
    scores = rng.random((num_rows, SCHEMA.num_labels)).round(decimals).astype(np.float32)
    targets = np.empty(scores.shape, dtype=np.int8)
    for group in SCHEMA.groups:
        columns = SCHEMA.slice(group.name)
        if group.is_single:
            targets[:, columns] = one_hot(rng.integers(-1, group.num_labels, num_rows), group.num_labels)
        else:
            targets[:, columns] = rng.integers(-1, 2, (num_rows, group.num_labels))
    return scores, targets
