import pyarrow.parquet as pq
import pytest

from kfashion_d2.data.formats import export_parquet


def test_three_states_by_hand(states, tmp_path):
    rows = pq.read_table(export_parquet(states, tmp_path / "p") / "garments.parquet").to_pylist()
    top, unknown, trousers = rows
    assert [row["category"] for row in rows] == ["t-shirt", "unknown", "pants"]
    assert (top["image_id"], top["x"], top["width"], top["collar"], top["detail"]) == (5, 10.5, 40.0, "none", [])
    assert (unknown["collar"], unknown["material"], unknown["polygon"]) == ("unknown", ["unknown"], [])
    assert (trousers["collar"], trousers["color"]) == ("not applicable", "unknown")
    images = pq.read_table(tmp_path / "p/images.parquet").to_pylist()
    assert [image["id"] for image in images] == [5, 30, 31, 200] and images[0]["style"] == "modern"


def test_pandas_reads_it(dataset, tmp_path):
    pandas = pytest.importorskip("pandas")
    export_parquet(dataset, tmp_path / "p")
    garments = pandas.read_parquet(tmp_path / "p/garments.parquet")
    images = pandas.read_parquet(tmp_path / "p/images.parquet")
    assert images["id"].tolist() == dataset.image_ids.tolist()
    annos = [anno for image in dataset for anno in image["annotations"]]
    assert garments[["x", "y", "width", "height"]].to_numpy().tolist() == [anno["bbox"] for anno in annos]
    colors = dataset.schema.group("color").labels
    counts = garments["color"].value_counts()
    for i, name in enumerate(colors):
        assert counts.get(name.name, 0) == sum(anno["attributes"]["color"] == i for anno in annos)
    joined = garments.merge(images, left_on="image_id", right_on="id")
    assert len(joined) == len(annos)
    details = dataset.schema.group("detail").labels
    assert [list(value) for value in garments["detail"]] == [
        ["unknown"] if -1 in anno["attributes"]["detail"] else [details[i] for i in anno["attributes"]["detail"]]
        for anno in annos
    ]
