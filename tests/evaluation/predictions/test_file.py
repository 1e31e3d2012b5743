import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation import read_predictions, write_predictions
from kfashion_d2.evaluation.predictions.core import array_names, concatenate_predictions, row_kind
from kfashion_d2.schema import kfashion_schema, schema_from_dict, schema_to_dict


def same(a, b):
    for name in array_names():
        x, y = getattr(a, name), getattr(b, name)
        if x is None or y is None:
            assert x is None and y is None, name
        elif isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, name
            np.testing.assert_array_equal(x, y, err_msg=name)
        else:
            assert x.to_pylist() == y.to_pylist(), name
    return True


def with_masks(predictions):
    rng = np.random.default_rng(1)
    for kind in ("det", "gt"):
        size = len(getattr(predictions, f"{kind}_classes"))
        masks = [rng.bytes(int(n)) for n in rng.integers(0, 9, size)]
        setattr(predictions, f"{kind}_masks", pa.array(masks, pa.large_binary()))
    return predictions


@pytest.mark.parametrize("classes", ["category", "part", "category_or_part"])
def test_a_file_gives_back_what_was_written(tmp_path, monkeypatch, classes):
    monkeypatch.setattr("kfashion_d2.evaluation.predictions.file._ROWS_PER_GROUP", 7)
    predictions = make_predictions(30, detections_per_image=3, classes=classes, styles=True)
    thresholds = {"print": 0.25, "detail": [0.5] * 39 + [0.125]}
    predictions = with_masks(predictions).with_info(threshold=thresholds, model={"weights": "a.pth", "step": 3})
    write_predictions(predictions, tmp_path / "predictions.parquet")
    assert list(tmp_path.iterdir()) == [tmp_path / "predictions.parquet"]
    back = read_predictions(tmp_path / "predictions.parquet")
    assert same(back, predictions)
    info = back.info
    assert info.schema.hash == predictions.schema.hash and info.classes == classes
    assert [n.korean for n in info.class_names] == [n.korean for n in predictions.info.class_names]
    assert info.threshold == thresholds and info.model == {"weights": "a.pth", "step": 3}
    np.testing.assert_array_equal(info.label_counts, predictions.info.label_counts)


def test_what_a_model_does_not_give_is_left_out(tmp_path):
    predictions = make_predictions(3, detections_per_image=2, gt_boxes=False).with_info(label_counts=None)
    write_predictions(predictions, tmp_path / "p.parquet")
    assert not {"det_masks", "gt_attributes", "style_scores"} & set(pq.read_schema(tmp_path / "p.parquet").names)
    back = read_predictions(tmp_path / "p.parquet")
    assert same(back, predictions) and back.info.label_counts is None


@pytest.mark.parametrize("num_images, detections", [(0, 0), (4, 0)])
def test_nothing_at_all(tmp_path, num_images, detections):
    predictions = make_predictions(num_images, detections_per_image=detections)
    write_predictions(predictions, tmp_path / "p.parquet")
    assert same(read_predictions(tmp_path / "p.parquet"), predictions)


def test_pandas_reads_it(tmp_path):
    predictions = make_predictions(5, detections_per_image=4)
    write_predictions(predictions, tmp_path / "p.parquet")
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["image_id"].tolist() == [1, 2, 3, 4, 5]
    garments = predictions.gt_offsets[2], predictions.gt_offsets[3]
    np.testing.assert_array_equal(np.stack(table["gt_targets"][2]), predictions.gt_targets[slice(*garments)])
    np.testing.assert_array_equal(np.stack(table["det_attributes"][2]), predictions.det_attributes[8:12])
    header = json.loads(pq.read_schema(tmp_path / "p.parquet").metadata[b"kfashion_predictions"])
    assert header["format"] == 1 and header["schema"]["groups"][0]["labels"][1] == ["white", "화이트"]


def test_refuses_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no predictions file .*evaluate\.py"):
        read_predictions(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(ValueError, match="not a parquet file"):
        read_predictions(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="not one of predictions"):
        read_predictions(tmp_path / "other.parquet")
    path = tmp_path / "p.parquet"
    write_predictions(make_predictions(1), path)
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"kfashion_predictions"])
    newer = {b"kfashion_predictions": json.dumps({**header, "format": 99})}
    pq.write_table(table.replace_schema_metadata(newer), path)
    with pytest.raises(ValueError, match="format 99, this version reads 1"):
        read_predictions(path)
    pq.write_table(table.drop_columns("gt_targets"), path)
    with pytest.raises(ValueError, match="lacks the columns gt_targets"):
        read_predictions(path)


def test_a_failed_write_leaves_nothing(tmp_path):
    predictions = make_predictions(2)
    predictions.det_masks = pa.array([1, 2, 3])  # no bytes
    with pytest.raises(pa.ArrowException):
        write_predictions(predictions, tmp_path / "p.parquet")
    assert not list(tmp_path.iterdir())


def test_select_takes_whole_images():
    predictions = with_masks(make_predictions(9, detections_per_image=3, styles=True))
    some = predictions.select([4, 0, 7])
    assert some.image_ids.tolist() == [5, 1, 8] and some.num_detections == 9
    assert some.gt_offsets.tolist() == np.cumsum([0, *np.diff(predictions.gt_offsets)[[4, 0, 7]]]).tolist()
    for kind in ("det", "gt"):
        rows = np.concatenate([np.flatnonzero(getattr(predictions, f"{kind}_images") == i) for i in (4, 0, 7)])
        for name in array_names():
            if row_kind(name) == kind and not name.endswith("_offsets"):
                x, y = getattr(predictions, name), getattr(some, name)
                if isinstance(x, np.ndarray):
                    np.testing.assert_array_equal(y, x[rows])
                else:
                    assert y.to_pylist() == [x.to_pylist()[i] for i in rows]
    assert some.det_images.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_pieces_become_one_in_the_order_of_the_images():
    whole = with_masks(make_predictions(20, detections_per_image=2, styles=True))
    pieces = [whole.select(np.arange(start, 20, 3)) for start in (2, 0, 1)]
    pieces.append(whole.select([19, 3]))  # seen twice
    assert same(concatenate_predictions(pieces), whole)
    assert same(concatenate_predictions([whole]), whole)
    pieces[1].gt_attributes = None
    assert concatenate_predictions(pieces).gt_attributes is None
    with pytest.raises(ValueError, match="no predictions"):
        concatenate_predictions([])


@pytest.mark.parametrize("classes", ["category", "part"])
def test_a_schema_survives_json(classes):
    schema = kfashion_schema().for_classes(classes)
    back = schema_from_dict(json.loads(json.dumps(schema_to_dict(schema))))
    assert back.hash == schema.hash and back.group_names == schema.group_names
    assert [[x.korean for x in g.labels] for g in back.groups] == [[x.korean for x in g.labels] for g in schema.groups]
    np.testing.assert_array_equal(back.possible, schema.possible)
    assert back.class_parts("category_or_part") == schema.class_parts("category_or_part")


def test_a_schema_that_was_changed_is_refused():
    data = schema_to_dict(kfashion_schema())
    data["groups"][0]["labels"][0][0] = "noir"
    with pytest.raises(ValueError, match="states hash"):
        schema_from_dict(data)
    with pytest.raises(ValueError, match="not a schema"):
        schema_from_dict({"name": "x"})
