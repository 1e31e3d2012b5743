import numpy as np
import pytest

from kfashion_d2.data.formats import export_fashionpedia


@pytest.fixture
def fashionpedia():
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


@pytest.mark.parametrize("lost", [False, True])
def test_fashionpedia_evaluates_on_it(fashionpedia, dataset, tmp_path, monkeypatch, lost):
    """Their AP under IoU and F1: 1 for the truth itself, and 0 where the attributes are lost."""
    evaluation = pytest.importorskip("fashionpedia.fp_eval")
    monkeypatch.setattr(np, "float", float, raising=False)  # they were written for a NumPy that had it
    truth = fashionpedia.Fashionpedia(str(export_fashionpedia(dataset, tmp_path / "f.json")))
    keys = ("image_id", "category_id", "bbox")
    found = [
        {**{key: anno[key] for key in keys}, "attribute_ids": [] if lost else anno["attribute_ids"], "score": 1.0}
        for anno in truth.anns.values()
    ]
    ours = evaluation.FPEval(truth, truth.loadRes(found), "bbox")
    ours.FPParams.catsWithAttributes, ours.FPParams.catsWithOutAttributes = list(range(25)), []
    ours.FPParams.catSuperClsIds = [np.arange(25), np.arange(25), np.arange(25)]
    with np.errstate(all="ignore"):
        ours.run()
    assert ours.resultDet["AP"] == pytest.approx(1.0)
    assert ours.results["AP"] == pytest.approx(0.0 if lost else 1.0)
