import json
import logging
import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from kfashion_d2.evaluation import (
    KFashionEvaluator,
    evaluate_predictions,
    evaluate_styles,
    read_predictions,
    write_predictions,
)
from kfashion_d2.evaluation.evaluate import ATTRIBUTE_TASKS
from kfashion_d2.schema import kfashion_schema
from tests.evaluation.evaluator_cases import (
    BOTTOM,
    NAME,
    RECORDS,
    SCHEMA,
    TOP,
    Model,
    annotation,
    detections,
    evaluate,
    found_in_image_7,
    inputs_of,
    random_case,
    record,
    row,
)


def test_golden_on_detections(register, caplog):
    register()
    other_class = detections([((20, 20, 80, 80), 0.9, TOP, row(0, {2: 1, 3: 1}))])
    with caplog.at_level(logging.INFO, logger="kfashion_d2"):
        results = evaluate(
            KFashionEvaluator(NAME), inputs_of(7, 3, 5), [found_in_image_7(), other_class, detections([])]
        )
    assert list(results) == ["attributes"]
    metrics = results["attributes"]
    expected = {"garments": 3, "matched": 2, "recall": 200 / 3, "fit/accuracy": 50, "fit/majority": 50}
    # F1 of fit 0 is 2*1/(1+2), of fit 2 zero. Print 1: right once, answered twice; its AP is 1.
    expected |= {"fit/macro_f1": 100 / 3, "fit/support": 2, "print/micro_f1": 200 / 3, "print/mAP": 100}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert "2 of 3 garments" in caplog.text and "33.3" in caplog.text


def test_results_are_plain_floats_and_the_file_is_strict_json(register, tmp_path):
    register()
    results = evaluate(KFashionEvaluator(NAME, output_dir=str(tmp_path)), inputs_of(3), [detections([])])
    assert all(type(value) is float for value in flatten_results_dict(results).values())
    assert math.isnan(results["attributes"]["fit/accuracy"])

    def refuse(constant):
        raise AssertionError(constant)

    written = json.loads((tmp_path / "attribute_metrics.json").read_text(), parse_constant=refuse)
    assert written["dataset"] == NAME
    assert written["attributes"]["fit/accuracy"] is None and written["attributes"]["recall"] == 0
    assert written["attributes"].keys() == results["attributes"].keys()


def test_no_image_at_all(register):
    register(records=[])
    metrics = evaluate(KFashionEvaluator(NAME), [], [])["attributes"]
    assert metrics["garments"] == metrics["matched"] == metrics["fit/support"] == 0
    assert math.isnan(metrics["recall"]) and math.isnan(metrics["mean/accuracy"])


def test_no_image_at_all_with_everything_on(register, tmp_path):
    register(records=[])
    MetadataCatalog.get(NAME).set(thing_classes=["top", "bottom", "outer", "dress"])
    evaluator = KFashionEvaluator(
        NAME, masks=True, style_tasks=("style",), metrics="all", model=Model(), output_dir=str(tmp_path)
    )
    assert evaluator.predictions is evaluator.evaluation is evaluator.gt_box_scores is None
    evaluator.reset()
    results = evaluator.evaluate()
    tasks = ["bbox", "segm", "iou_f1", "iou_f1_chance", *ATTRIBUTE_TASKS, "style"]
    assert list(results) == tasks and math.isnan(results["segm"]["AP"])
    predictions = evaluator.predictions
    assert predictions.gt_attributes.shape == (0, SCHEMA.num_labels) and evaluator.gt_box_scores.dtype == np.float32
    assert predictions.sub_style_scores is None and predictions.style_scores.shape == (0, len(STYLES))
    write_predictions(predictions, tmp_path / "predictions.parquet")
    again = read_predictions(tmp_path / "predictions.parquet")
    assert repr(evaluate_predictions(again).metrics) == repr(dict(results))


def test_masks_of_a_dataset_that_has_rle(register):
    """Whose counts are bytes or text; their areas are those of the masks, not of the boxes."""
    mask = np.zeros((100, 200), dtype=np.uint8, order="F")
    mask[10:40, 10:60] = 1
    mask[10:20, 10:30] = 0
    rle = mask_util.encode(mask)
    text = {**rle, "counts": rle["counts"].decode()}
    register([record(i, [annotation(TOP, (10, 10, 50, 30), segmentation=x)]) for i, x in ((1, rle), (2, text))])
    MetadataCatalog.get(NAME).set(thing_classes=["top", "bottom", "outer", "dress"])
    output = detections([((10, 10, 60, 40), 0.9, TOP, row(0, {}))])
    output["instances"].pred_masks = torch.from_numpy(mask.astype(bool))[None]
    evaluator = KFashionEvaluator(NAME, masks=True)
    results = evaluate(evaluator, inputs_of(1, 2), [output, output])
    assert evaluator.predictions.gt_areas.tolist() == [1300, 1300]
    assert results["segm"]["AP"] == results["segm"]["APm"] == pytest.approx(100)


def test_unknown_category_is_found_by_its_part(register):
    schema = kfashion_schema().subset(["fit", "print"])
    bottom = annotation(BOTTOM, (0, 0, 50, 50), fit=0, category_id=-1)
    register([record(1, [bottom])], schema=schema, classes="category")
    jeans, shirt = schema.categories.index("jeans"), schema.categories.index("shirt")
    evaluator = KFashionEvaluator(NAME)
    for category, matched in ((jeans, 1), (shirt, 0)):
        output = detections([((0, 0, 50, 50), 0.9, category, row(0, {}))])
        assert evaluate(evaluator, inputs_of(1), [output])["attributes"]["matched"] == matched


def test_thresholds_are_passed_on(register):
    register()
    strict = KFashionEvaluator(NAME, threshold=0.7, iou_threshold=0.9)
    metrics = evaluate(strict, inputs_of(7), [found_in_image_7()])["attributes"]
    assert (metrics["matched"], metrics["print/micro_f1"]) == (1, 100)
    metrics = evaluate(KFashionEvaluator(NAME, threshold={"print": 0.7}), inputs_of(7), [found_in_image_7()])
    assert metrics["attributes"]["print/micro_f1"] == 100


def test_processes_and_order_do_not_matter(register, monkeypatch):
    records, outputs = random_case()
    register(records)
    ids = list(outputs)

    def run(image_ids):
        evaluator = KFashionEvaluator(NAME)
        evaluator.reset()
        for start in range(0, len(image_ids), 3):
            batch = image_ids[start : start + 3]
            evaluator.process(inputs_of(*batch), [outputs[i] for i in batch])
        return evaluator

    expected = run(ids).evaluate()
    assert 0 < expected["attributes"]["recall"] < 100 and expected["attributes"]["fit/support"] > 2
    assert repr(run(ids[::-1]).evaluate()) == repr(expected)
    assert repr(run([*ids, ids[0], ids[3]]).evaluate()) == repr(expected)  # a sampler that fills up its last batch

    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert run(ids[::2]).evaluate() == {}
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    assert repr(run(ids[1::2]).evaluate()) == repr(expected)


def test_not_distributed_gathers_nothing(register, monkeypatch):
    register()
    monkeypatch.setattr(comm, "gather", lambda *args, **kwargs: pytest.fail("gathered"))
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    evaluator = KFashionEvaluator(NAME, distributed=False)
    assert evaluate(evaluator, inputs_of(7), [found_in_image_7()])["attributes"]["matched"] == 2


def test_reset_forgets(register):
    register()
    evaluator = KFashionEvaluator(NAME)
    evaluate(evaluator, inputs_of(3), [detections([])])
    assert evaluate(evaluator, inputs_of(7), [found_in_image_7()])["attributes"]["garments"] == 2


class Lazy(torch.utils.data.Dataset):
    def __init__(self, records):
        self.records = records

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


class WithIndex(Lazy):
    def index_of(self, image_id):
        return {r["image_id"]: i for i, r in enumerate(self.records)}[image_id]

    def __iter__(self):
        raise AssertionError("a large dataset must not be read as a whole")


@pytest.mark.parametrize("kind", [Lazy, WithIndex])
def test_takes_datasets(register, kind):
    register(kind(RECORDS))
    inputs = [{"image_id": 7, "height": 100, "width": 200}]
    metrics = evaluate(KFashionEvaluator(NAME), inputs, [found_in_image_7()])["attributes"]
    assert metrics["matched"] == 2
    with pytest.raises(ValueError, match="image_id 8 is not in dataset"):
        evaluate(KFashionEvaluator(NAME), [{**inputs[0], "image_id": 8}], [found_in_image_7()])


def test_refuses_what_does_not_fit(register):
    register()
    evaluator = KFashionEvaluator(NAME)
    plain = found_in_image_7()
    plain["instances"].remove("pred_attributes")
    with pytest.raises(ValueError, match="no pred_attributes"):
        evaluate(evaluator, inputs_of(7), [plain])
    wide = found_in_image_7()
    wide["instances"].pred_attributes = torch.zeros(3, 174)
    with pytest.raises(ValueError, match=r"174 columns.*fit, print.*28 labels"):
        evaluate(evaluator, inputs_of(7), [wide])
    with pytest.raises(ValueError, match="do not mean"):
        renamed = SCHEMA.group("fit").replace(name="print"), SCHEMA.group("print").replace(name="fit")
        KFashionEvaluator(NAME, schema=SCHEMA.with_groups(renamed))
    with pytest.raises(ValueError, match="no attribute group 'color'"):
        KFashionEvaluator(NAME, schema=kfashion_schema())


def test_refuses_a_dataset_without_schema_or_with_double_ids(register):
    register([*RECORDS, RECORDS[0]], schema=None)
    with pytest.raises(ValueError, match="no attribute_schema"):
        KFashionEvaluator(NAME)
    with pytest.raises(ValueError, match="same image_id"):
        KFashionEvaluator(NAME, schema=SCHEMA)


def test_a_subset_of_the_groups(register):
    register()
    output = found_in_image_7()
    output["instances"].pred_attributes = output["instances"].pred_attributes[:, SCHEMA.slice("print")]
    results = evaluate(KFashionEvaluator(NAME, schema=SCHEMA.subset(["print"])), inputs_of(7), [output])
    assert results["attributes"]["print/micro_f1"] == pytest.approx(200 / 3)
    assert not any("fit" in name for name in results["attributes"])


def test_switches(register, tmp_path):
    """The same predictions, once measured in full and once not at all."""
    register()
    seen = inputs_of(7, 3), [found_in_image_7(), detections([])]
    plain = evaluate(KFashionEvaluator(NAME), *seen)["attributes"]
    full = evaluate(KFashionEvaluator(NAME, metrics="all"), *seen)
    assert list(full) == ["attributes", "attributes_class_agnostic"]
    assert plain["recall_class_agnostic"] == full["attributes_class_agnostic"]["recall"] == pytest.approx(200 / 3)
    shared = plain.keys() - {"recall_class_agnostic"}
    assert {name: full["attributes"][name] for name in shared} == pytest.approx(
        {n: plain[n] for n in shared}, nan_ok=True
    )
    assert "fit/top3" in full["attributes"] and "fit/top3" not in plain
    silent = KFashionEvaluator(NAME, metrics="none", output_dir=str(tmp_path / "silent"))
    assert evaluate(silent, *seen) == {} and silent.evaluation is None and not (tmp_path / "silent").exists()
    write_predictions(silent.predictions, tmp_path / "predictions.parquet")
    again = evaluate_predictions(read_predictions(tmp_path / "predictions.parquet"), detailed=False)
    assert repr(again.metrics["attributes"]) == repr(plain)
    with pytest.raises(ValueError, match="metrics='some'; choose one of none, training, all"):
        KFashionEvaluator(NAME, metrics="some")


def test_arrays_are_kept_and_not_views_of_the_outputs(register):
    """Detectron2 may reuse an output, and a view would keep it alive."""
    register()
    output = found_in_image_7()
    evaluator = KFashionEvaluator(NAME)
    evaluator.reset()
    evaluator.process(inputs_of(7), [output])
    for tensor in (
        output["instances"].pred_boxes.tensor,
        output["instances"].scores,
        output["instances"].pred_attributes,
    ):
        tensor.fill_(-1)
    evaluator.evaluate()
    assert evaluator.predictions.det_scores.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert evaluator.predictions.det_boxes[0].tolist() == [0, 0, 100, 50]
    assert evaluator.predictions.det_attributes.min() > 0


def test_chunks_change_nothing(register, monkeypatch):
    records, outputs = random_case()
    register(records)

    def run():
        evaluator = KFashionEvaluator(NAME)
        evaluator.reset()
        for image_id, output in outputs.items():
            evaluator.process(inputs_of(image_id), [output])
        return evaluator.evaluate(), evaluator.predictions

    expected, whole = run()
    monkeypatch.setattr("kfashion_d2.evaluation.evaluator._IMAGES_PER_CHUNK", 3)
    results, pieces = run()
    assert repr(results) == repr(expected)
    np.testing.assert_array_equal(pieces.det_attributes, whole.det_attributes)
    np.testing.assert_array_equal(pieces.gt_offsets, whole.gt_offsets)


STYLES = kfashion_schema().styles.labels


def style_case(num_images=30, seed=0):
    """Records without garments, and what a model says of their styles."""
    rng = np.random.default_rng(seed)
    records = [
        {**record(int(i), []), "style": int(rng.integers(-1, 23)), "sub_style": int(rng.integers(-1, 23))}
        for i in rng.permutation(100 * num_images)[:num_images]
    ]
    scores = torch.tensor(rng.dirichlet(np.ones(23), (2, num_images)), dtype=torch.float32)
    outputs = [{**detections([]), "style_scores": a, "sub_style_scores": b} for a, b in zip(*scores, strict=True)]
    return records, outputs


def style_evaluator(**options):
    return KFashionEvaluator(NAME, **{"style_tasks": ("style", "sub_style"), **options})


def test_styles_over_what_is_known(register):
    records, outputs = style_case()
    del records[3]["style"]  # a missing key is an unknown style
    register(records)
    results = evaluate(style_evaluator(), [{"image_id": r["image_id"]} for r in records], outputs)
    for task in ("style", "sub_style"):
        scores = np.stack([output[f"{task}_scores"] for output in outputs])
        targets = [r.get(task, -1) for r in records]
        expected = evaluate_styles(scores, targets, STYLES)
        np.testing.assert_equal(dict(results[task]), expected)
        assert expected["support"] == sum(t >= 0 for t in targets) < 30
    inputs = [{"image_id": r["image_id"]} for r in records]
    assert list(evaluate(style_evaluator(style_tasks=("style",)), inputs, outputs)) == ["attributes", "style"]


def test_styles_processes_order_and_repeats_do_not_matter(register, monkeypatch):
    records, outputs = style_case()
    register(records)
    inputs = [{"image_id": r["image_id"]} for r in records]
    expected = evaluate(style_evaluator(), inputs, outputs)
    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    for rows in ([], [7, 2, 2], [*range(29, 9, -1)]):  # one sees nothing, one sees an image twice
        assert evaluate(style_evaluator(), [inputs[i] for i in rows], [outputs[i] for i in rows]) == {}
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    assert repr(evaluate(style_evaluator(), inputs[:12], outputs[:12])) == repr(expected)


def test_styles_of_no_image_at_all(register):
    register([])
    results = evaluate(style_evaluator(), [], [])
    assert [results[task]["support"] for task in ("style", "sub_style")] == [0, 0]


def test_the_style_report(register, tmp_path, caplog):
    records, outputs = style_case(4)
    for each in records:
        each.update(style=8, sub_style=-1)
    register(records)
    inputs = [{"image_id": r["image_id"]} for r in records]
    with caplog.at_level(logging.INFO, logger="kfashion_d2"):
        results = evaluate(style_evaluator(output_dir=str(tmp_path / "new")), inputs, outputs)
    assert "macro-F1" in caplog.text and "hip-hop" in caplog.text
    written = json.loads((tmp_path / "new" / "style_metrics.json").read_text())
    assert written["dataset"] == NAME
    assert written["style"]["top3"] == results["style"]["top3"] and written["style"]["support"] == 4
    assert written["sub_style"]["top1"] is None and written["style"]["F1-retro"] is None


def test_a_model_without_styles_is_refused(register):
    records, outputs = style_case(1)
    register(records)
    inputs = [{"image_id": r["image_id"]} for r in records]
    with pytest.raises(ValueError, match=r"expected style_scores of shape \(23,\) .* found none: .*AttributeRCNN"):
        evaluate(style_evaluator(), inputs, [detections([])])
    outputs[0]["sub_style_scores"] = torch.zeros(5)
    with pytest.raises(ValueError, match=r"expected sub_style_scores .* found shape \(5,\)"):
        evaluate(style_evaluator(), inputs, outputs)
