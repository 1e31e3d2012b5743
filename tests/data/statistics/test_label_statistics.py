import numpy as np
import pytest

from kfashion_d2.data import KFashionDataset, image_labels, label_counts
from kfashion_d2.data.statistics.label_statistics import style_counts
from kfashion_d2.schema import CLASS_MODES


@pytest.mark.parametrize("classes", CLASS_MODES)
def test_counts_equal_a_loop_over_the_dicts(demo_store, classes):
    dataset = KFashionDataset(demo_store / "train", classes)
    schema = dataset.schema.subset(["material", "neckline", "color", *(["category"] if classes == "part" else [])])
    num_classes = len(schema.thing_classes(classes))
    yes = np.zeros((num_classes + 1, schema.num_labels), dtype=np.int64)
    known = np.zeros_like(yes)
    for i in range(len(dataset)):
        for anno in dataset[i]["annotations"]:
            row = schema.encode(anno["attributes"], anno["part"])
            yes[anno["category_id"]] += row == 1  # -1 is the last row
            known[anno["category_id"]] += row >= 0
    assert yes.sum() > 0
    assert (known[-1].sum() > 0) == (classes == "category")
    dicts = [dataset[i] for i in range(len(dataset))]
    dicts[0]["annotations"].append({**dicts[0]["annotations"][0], "iscrowd": 1})  # counts nowhere
    for counted in (label_counts(dataset, schema), label_counts(dicts, schema, num_classes)):
        assert np.array_equal(counted[0], yes)
        assert np.array_equal(counted[1], known)
    with pytest.raises(ValueError, match="num_classes"):
        label_counts(dicts, schema)


def test_image_labels_equal_a_loop_over_the_dicts(demo_store):
    dataset = KFashionDataset(demo_store / "train")
    names = ["category", "detail", "style", "fit"]
    sizes = [21, 40, 23, 7]
    starts = dict(zip(names, np.cumsum([0, *sizes]).tolist(), strict=False))
    expected = set()
    for i in range(len(dataset)):
        image = dataset[i]
        if image["style"] >= 0:
            expected.add((i, starts["style"] + image["style"]))
        for anno in image["annotations"]:
            values = {"category": anno["category_id"], **anno["attributes"]}
            for name in ("category", "detail", "fit"):
                value = values.get(name, -1)
                expected |= {(i, starts[name] + v) for v in (value if isinstance(value, list) else [value]) if v >= 0}
    images, labels = image_labels(dataset, names)
    assert len(images) == len(expected) > 0
    assert set(zip(images.tolist(), labels.tolist(), strict=True)) == expected


def test_style_counts_equal_a_loop_over_the_dicts(demo_store):
    dataset = KFashionDataset(demo_store / "train")
    expected = np.zeros((2, 23), dtype=np.int64)
    for i in range(len(dataset)):
        image = dataset[i]
        for row, name in zip(expected, ("style", "sub_style"), strict=True):
            if image[name] >= 0 and image["annotations"]:
                row[image[name]] += 1
    assert (expected.sum(axis=1) > 0).all() and expected.sum() < 2 * len(dataset)
    assert np.array_equal(style_counts(dataset), expected)


def test_unknown_group_is_refused(demo_store):
    with pytest.raises(ValueError, match=r"no attribute group 'colour'"):
        image_labels(KFashionDataset(demo_store / "train"), ["colour"])
