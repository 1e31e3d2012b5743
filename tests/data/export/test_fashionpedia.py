import sys
import types

import pytest

from kfashion_d2.data.export import export_fashionpedia


@pytest.fixture
def fashionpedia(monkeypatch):
    """Their reader; it imports scikit-image for drawing alone."""
    if "skimage" not in sys.modules:
        skimage = types.ModuleType("skimage")
        skimage.io = types.ModuleType("skimage.io")
        monkeypatch.setitem(sys.modules, "skimage", skimage)
        monkeypatch.setitem(sys.modules, "skimage.io", skimage.io)
    return pytest.importorskip("fashionpedia.fp")


def test_fashionpedia_reads_it(fashionpedia, dataset, tmp_path):
    read = fashionpedia.Fashionpedia(str(export_fashionpedia(dataset, tmp_path / "f.json")))
    schema = dataset.schema
    assert sorted(read.attrs) == list(range(schema.num_labels))
    assert [read.attrs[i]["name"] for i in range(3)] == [label.name for label in schema.groups[0].labels[:3]]
    assert [entry["id"] for entry in read.dataset["categories"]] == list(range(25))
    annos = [anno for image in dataset for anno in image["annotations"]]
    assert len(read.anns) == len(annos)
    for (number, theirs), ours in zip(sorted(read.anns.items()), annos, strict=True):
        row = schema.encode(ours["attributes"], ours["part"])
        assert theirs["attribute_ids"] == [i for i in range(schema.num_labels) if row[i] == 1], number
        assert theirs["category_id"] == ours["category_id"]
    black = schema.slice("color").start + schema.group("color").index_of.index("black")
    expected = [i for i, anno in enumerate(annos, 1) if anno["attributes"]["color"] == black]
    assert expected and sorted(read.getAnnIds(attIds=[black])) == expected
