import copy

import numpy as np
import pycocotools.mask as mask_util
import pytest
from sklearn.metrics import f1_score

from benchmarks.iou_f1 import run_fashionpedia
from benchmarks.objects import draw_objects, to_coco
from kfashion_d2.evaluation import evaluate_iou_f1
from kfashion_d2.evaluation.detection import iou_f1_arrays
from kfashion_d2.evaluation.detection.attribute_f1 import F1_TYPES
from kfashion_d2.evaluation.detection.iou_f1_arrays import iou_f1_tables
from tests.evaluation.detection.drawn_coco import drawn_coco

AREAS = {"": (0, 1e10), "s": (0, 32**2), "m": (32**2, 96**2), "l": (96**2, 1e10)}


def one_garment(pred=(0,), true=(0, 1), box=(0.0, 0.0, 100.0, 100.0), attributes=4, categories=46):
    gt = {
        "images": [{"id": 7, "height": 200, "width": 200}],
        "categories": [{"id": i} for i in range(categories)],
        "attributes": [{"id": i} for i in range(attributes)],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 0,
                "bbox": [0.0, 0.0, 100.0, 100.0],
                "area": 10_000.0,
                "iscrowd": 0,
                "attribute_ids": list(true),
            }
        ],
    }
    dt = [{"image_id": 7, "category_id": 0, "bbox": list(box), "score": 0.5, "attribute_ids": list(pred)}]
    return gt, dt


def test_golden_values():
    """F1 is (2/3 + 4/5) / 2 = 0.733: good enough for five of the ten thresholds. IoU is 0.8: for seven of them."""
    found = evaluate_iou_f1(*one_garment(box=(0.0, 0.0, 100.0, 80.0)))
    assert found["iou"]["AP"] == pytest.approx(0.7)
    assert found["f1"]["AP"] == pytest.approx(0.5)
    assert found["iou_f1"]["AP"] == pytest.approx(0.35)
    assert [found["iou_f1"][k] for k in ("AP_IOU50", "AP_F150", "AP_F175")] == pytest.approx([0.5, 0.7, 0])
    assert found["iou_f1"]["AP_IOU75_F150"] == pytest.approx(1)
    assert (found["iou_f1"]["APs"], found["iou_f1"]["APl"]) == (-1, pytest.approx(0.35))
    assert (found["iou"]["APo"], found["iou"]["APa"], found["iou"]["APp"]) == (pytest.approx(0.7), -1, -1)
    assert found["iou_f1"]["AR@1"] == pytest.approx(0.35)


def test_row_names():
    found = evaluate_iou_f1(*one_garment())
    areas = ["APs", "APm", "APl", "AR@1", "AR@10", "AR@100", "ARs@100", "ARm@100", "ARl@100"]
    pairs = [f"AP_IOU{i}_F1{f}" for i in (50, 75) for f in (50, 75)]
    assert list(found) == ["iou_f1", "iou", "f1"]
    assert list(found["iou_f1"]) == [
        *("APo", "APp", "AP", "AP_IOU50", "AP_IOU75", "AP_F150", "AP_F175"),
        *pairs,
        *areas,
    ]
    assert list(found["iou"]) == ["APo", "APa", "APp", "AP", "AP_IOU50", "AP_IOU75", *areas]
    assert list(found["f1"]) == ["APo", "APp", "AP", "AP_F150", "AP_F175", *areas]


def test_what_f1_hides():
    """An answer without one true attribute of 294 passes no threshold, but only just; nothing asked, all is well."""
    gt, dt = one_garment(pred=(5,), true=(1,), attributes=294)
    assert evaluate_iou_f1(gt, dt)["f1"]["AP"] == 0
    assert evaluate_iou_f1(gt, dt, f1_type="binary_micro")["f1"]["AP"] == pytest.approx(1)


def test_nothing_found_and_nothing_there():
    gt, dt = one_garment()
    assert evaluate_iou_f1(gt, [])["iou_f1"]["AP"] == 0
    empty = {**gt, "annotations": []}
    for results in (dt, []):
        assert set(evaluate_iou_f1(empty, results)["iou_f1"].values()) == {-1.0}


def test_any_vocabulary_will_do():
    gt, dt = one_garment(pred=(0, 1), categories=3)
    gt["categories"] = [{"id": 10 + i} for i in range(3)]
    gt["annotations"][0]["category_id"] = dt[0]["category_id"] = 11
    found = evaluate_iou_f1(gt, dt, categories_with_attributes=[11])
    assert found["iou_f1"]["AP"] == pytest.approx(1)
    assert found["iou_f1"]["APo"] == -1


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda gt, dt: dt[0].pop("attribute_ids"), "a result of a category with attributes has no attribute_ids"),
        (lambda gt, dt: gt["annotations"][0].update(attribute_ids=[99]), "a ground-truth annotation of a category"),
        (lambda gt, dt: dt[0].update(image_id=8), "of image 8, which is not in the ground truth"),
        (lambda gt, dt: gt["annotations"].append(gt["annotations"][0]), "have the same id"),
        (lambda gt, dt: gt["annotations"][0].pop("area"), "ground-truth annotation 1 has no 'area'"),
        (lambda gt, dt: dt.append({**dt[0], "bbox": None}) or dt[1].pop("bbox"), "result 1 has no 'bbox'"),
    ],
)
def test_mistakes_are_named(change, message):
    gt, dt = one_garment()
    change(gt, dt)
    with pytest.raises(ValueError, match=message):
        evaluate_iou_f1(gt, dt)


def test_unknown_types_are_named():
    with pytest.raises(ValueError, match="iou_type is 'box'; choose bbox or segm"):
        evaluate_iou_f1(*one_garment(), iou_type="box")
    with pytest.raises(ValueError, match="f1_type is 'f'; choose one of binary_macro, binary_micro, micro, macro"):
        evaluate_iou_f1(*one_garment(), f1_type="f")


def slow_average(gt, dt, with_attributes, iou_threshold, f1_threshold, area, category):
    """AP and AR of one category at one pair of thresholds, as the paper's rule is told; None: nothing to find."""
    low, high = AREAS[area]
    f1_threshold = f1_threshold if category in with_attributes else -1
    order = [a["id"] for a in gt["attributes"]]
    entries, wanted = [], 0
    for image in gt["images"]:
        mine = [a for a in gt["annotations"] if (a["image_id"], a["category_id"]) == (image["id"], category)]
        ignored = {a["id"]: a["iscrowd"] or not low <= a["area"] <= high for a in mine}
        mine.sort(key=lambda a: bool(ignored[a["id"]]))
        wanted += sum(not x for x in ignored.values())
        dets = [d for d in dt if (d["image_id"], d["category_id"]) == (image["id"], category)]
        taken = set()
        for det in sorted(dets, key=lambda d: -d["score"])[:100]:
            best, best_iou, best_f1 = None, iou_threshold, f1_threshold
            for anno in mine:
                free = anno["id"] not in taken or (anno["iscrowd"] and category not in with_attributes)
                if not free:
                    continue
                if best is not None and not ignored[best["id"]] and ignored[anno["id"]]:
                    break
                iou = mask_util.iou([det["bbox"]], [anno["bbox"]], [anno["iscrowd"]])[0, 0]
                f1 = 0.0
                if category in with_attributes:
                    rows = [np.isin(order, x["attribute_ids"]).astype(int) for x in (anno, det)]
                    f1 = f1_score(*rows, average="macro")
                if iou >= best_iou and f1 >= best_f1:
                    best, best_iou, best_f1 = anno, iou, f1
            if best is not None:
                taken.add(best["id"])
                entries.append((det["score"], "ignored" if ignored[best["id"]] else "true"))
            else:
                inside = low <= det["bbox"][2] * det["bbox"][3] <= high
                entries.append((det["score"], "false" if inside else "ignored"))
    if not wanted:
        return None
    entries.sort(key=lambda entry: -entry[0])
    kinds = [kind for _, kind in entries if kind != "ignored"]
    true = np.cumsum([kind == "true" for kind in kinds]) if kinds else np.zeros(0)
    precision, recall = true / np.arange(1, len(kinds) + 1), true / wanted
    at = [precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]
    return np.mean(at), recall[-1] if len(kinds) else 0


@pytest.mark.parametrize("seed", range(2))
def test_equals_a_slow_and_obvious_version(seed):
    gt, dt = drawn_coco(seed, images=4, detections=8, used=(0, 13), attributes=5, grid=20 if seed else None)
    found = evaluate_iou_f1(gt, dt)
    for area in AREAS:
        levels = [(0.5, 0.5), (0.75, 0.5), (0.5, 0.75), (0.75, 0.75)] if not area else []
        for iou, f1 in levels:
            values = [slow_average(gt, dt, {0}, iou, f1, area, c) for c in (0, 13)]
            kept = [value[0] for value in values if value]
            assert found["iou_f1"][f"AP_IOU{100 * iou:.0f}_F1{100 * f1:.0f}"] == pytest.approx(np.mean(kept), abs=1e-9)
        steps = np.linspace(0.5, 0.95, 10)
        values = [slow_average(gt, dt, {0}, iou, -1, area, c) for c in (0, 13) for iou in steps]
        kept = [value for value in values if value]
        if kept:
            ap, ar = np.mean(kept, axis=0)
            assert found["iou"][f"AP{area}"] == pytest.approx(ap, abs=1e-9)
            assert found["iou"][f"AR{area}@100"] == pytest.approx(ar, abs=1e-9)


def same_as_the_package(gt, dt, **options):
    pytest.importorskip("fashionpedia")
    before = copy.deepcopy((gt, dt))
    mine = evaluate_iou_f1(gt, dt, **options)
    assert (gt, dt) == before
    theirs = run_fashionpedia(gt, dt, **options)
    assert {k: list(v) for k, v in mine.items()} == {k: list(v) for k, v in theirs.items()}
    for task, rows in theirs.items():
        assert mine[task] == pytest.approx(rows, abs=1e-9), task


@pytest.mark.parametrize("f1_type", F1_TYPES)
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("grid", [None, 20])
def test_equals_the_package(iou_type, f1_type, grid):
    same_as_the_package(*drawn_coco(11, grid=grid), iou_type=iou_type, f1_type=f1_type)


@pytest.mark.parametrize("categories", [[], range(46), [0, 30]])
@pytest.mark.parametrize("attributes", [1])
def test_equals_the_package_with_other_categories(categories, attributes):
    gt, dt = drawn_coco(12, attributes=attributes)
    same_as_the_package(gt, dt, categories_with_attributes=categories, f1_type="micro")


def test_equals_the_package_on_its_odd_inputs(caplog):
    gt, dt = drawn_coco(13, images=2, detections=300, used=(0, 13), crowd=0.3, grid=10)  # over 100 of a category
    for number, anno in enumerate(gt["annotations"]):
        anno["id"] = number  # from 0
    same_as_the_package(gt, dt)
    assert "has id 0" in caplog.text


def test_equals_the_package_on_masks_without_boxes():
    gt, dt = drawn_coco(14)
    for number, result in enumerate(dt):
        x, y, w, h = result.pop("bbox")
        rle = mask_util.merge(mask_util.frPyObjects([[x, y, x + w, y, x + w, y + h, x, y + h]], 400, 300))
        result["segmentation"] = {**rle, "counts": rle["counts"].decode()} if number % 2 else rle
    same_as_the_package(gt, dt, iou_type="segm")
    same_as_the_package(gt, dt, iou_type="bbox")


@pytest.mark.slow
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("seed", [1, 2])
def test_equals_the_package_on_300_images(seed, iou_type):
    gt, dt = drawn_coco(seed, images=300, detections=15, used=range(46), attributes=294)
    same_as_the_package(gt, dt, iou_type=iou_type)


def test_arrays_give_the_same_whatever_is_matched_together(monkeypatch):
    gt, dt = draw_objects(60, 12, 20)
    whole = iou_f1_tables(gt, dt, num_categories=25, num_attributes=20)
    truth, results = to_coco(gt, dt, num_attributes=20)
    assert evaluate_iou_f1(truth, results, categories_with_attributes=range(25)) == whole.summary()
    for name in ("_MAX_PAIRS", "_BLOCK", "_MAX_ENTRIES"):
        monkeypatch.setattr(iou_f1_arrays, name, 7)
    pieces = iou_f1_tables(gt, dt, num_categories=25, num_attributes=20)
    np.testing.assert_allclose(pieces.ap, whole.ap, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(pieces.recall, whole.recall)
    alone = whole.summary([3])["iou_f1"]
    assert "APo" not in alone
    assert alone["AP_IOU50_F150"] == whole.ap[3, 0, 0, 0]
