import contextlib
import io
from dataclasses import replace

import hotcoco
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation import Predictions, PredictionsInfo
from kfashion_d2.evaluation.analysis.errors import DETECTION_OUTCOMES, analyze_errors, points_lost, wrong_groups
from kfashion_d2.evaluation.analysis.label_noise import find_suspects
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema().subset(["fit", "print"])
JEANS, SHIRT, COAT, TOP = (SCHEMA.categories.index(name) for name in ("jeans", "shirt", "coat", "top"))
PART = SCHEMA.category_parts


def row(fit, prints=(), yes=0.9, no=0.05):
    scores = np.full(SCHEMA.num_labels, no, dtype=np.float16)
    scores[SCHEMA.slice("fit")][fit] = yes
    scores[SCHEMA.slice("print")][list(prints)] = yes
    return scores


def image(garments, detections, gt_scores=None):
    """One image of (box, class, part, target row) and (box, class, score, score row) tuples."""
    num = len(garments)
    targets = np.array([g[3] for g in garments], dtype=np.int8).reshape(num, SCHEMA.num_labels)
    return Predictions(
        info=PredictionsInfo("by_hand", SCHEMA, "category", SCHEMA.thing_classes("category")),
        image_ids=np.array([5]),
        image_indices=np.array([0]),
        heights=np.array([100], dtype=np.int32),
        widths=np.array([100], dtype=np.int32),
        styles=np.array([-1], dtype=np.int16),
        sub_styles=np.array([-1], dtype=np.int16),
        det_offsets=np.array([0, len(detections)]),
        det_boxes=np.array([d[0] for d in detections], dtype=np.float32).reshape(-1, 4),
        det_scores=np.array([d[2] for d in detections], dtype=np.float32),
        det_classes=np.array([d[1] for d in detections], dtype=np.int16),
        det_attributes=np.array([d[3] for d in detections], dtype=np.float16).reshape(-1, SCHEMA.num_labels),
        gt_offsets=np.array([0, num]),
        gt_places=np.arange(num, dtype=np.int32),
        gt_boxes=np.array([g[0] for g in garments], dtype=np.float64).reshape(-1, 4),
        gt_areas=np.ones(num),
        gt_classes=np.array([g[1] for g in garments], dtype=np.int16),
        gt_parts=np.array([g[2] for g in garments], dtype=np.int8),
        gt_targets=targets,
        gt_attributes=None if gt_scores is None else np.array(gt_scores, dtype=np.float16),
    )


def target(fit, prints=()):
    return row(fit, prints, 1, 0).astype(np.int8)


def a_bit_of_everything():
    garments = [
        ((0, 0, 10, 10), SHIRT, PART[SHIRT], target(0, [1])),  # found, all right
        ((20, 0, 30, 10), JEANS, PART[JEANS], target(1, [2])),  # found, its fit is wrong
        ((40, 0, 50, 10), COAT, PART[COAT], target(2)),  # taken for a shirt
        ((60, 0, 70, 10), SHIRT, PART[SHIRT], target(3)),  # poor box
        ((80, 0, 90, 10), SHIRT, PART[SHIRT], target(3)),  # nothing there but a detection of low score
        ((0, 50, 20, 70), -1, PART[JEANS], target(0)),  # of unknown class
    ]
    detections = [
        ((0, 0, 10, 10), SHIRT, 0.9, row(0, [1])),
        ((0, 0, 10, 9), SHIRT, 0.8, row(0)),  # duplicate
        ((20, 0, 30, 10), JEANS, 0.9, row(4, [2])),
        ((40, 0, 50, 10), SHIRT, 0.7, row(2)),
        ((60, 0, 70, 3), SHIRT, 0.6, row(3)),
        ((80, 0, 90, 10), SHIRT, 0.1, row(3)),
        ((0, 90, 10, 99), SHIRT, 0.95, row(3)),  # background
        ((40, 0, 50, 3), JEANS, 0.6, row(3)),  # neither class nor box
        ((5, 55, 15, 65), JEANS, 0.6, row(3)),  # on the garment of unknown class
        ((5, 55, 15, 65), SHIRT, 0.6, row(3)),  # not of its part
    ]
    return image(garments, detections)


def test_outcomes_by_hand():
    errors = analyze_errors(a_bit_of_everything())
    assert errors.det_outcomes.tolist() == [0, 3, 0, 2, 1, -1, 4, 5, 6, 4]
    assert errors.det_garments.tolist() == [0, 0, 1, 2, 3, -1, -1, -1, -1, -1]
    assert errors.gt_outcomes.tolist() == [0, 1, 2, 3, 4, 5]
    assert errors.gt_detections.tolist() == [0, 2, 3, 4, -1, -1]
    assert errors.gt_wrong_groups.tolist() == [[0, 0], [1, 0], *[[-1, -1]] * 4]
    counts = errors.counts()
    assert counts["garments"]["wrong attributes"] == 1 and counts["garments"]["missed"] == 1
    assert counts["detections"]["background"] == 2 and sum(counts["detections"].values()) == 9
    assert analyze_errors(a_bit_of_everything(), score_threshold=0.0).gt_outcomes.tolist() == [0, 1, 2, 3, 0, 5]
    with pytest.raises(ValueError, match=r"background 0\.6"):
        analyze_errors(a_bit_of_everything(), background_iou=0.6)


def coco_dicts(predictions):
    """COCO's file and results, garments of unknown class as crowd regions of all classes of their part."""
    p = predictions
    annotations = []
    for g in range(p.num_garments):
        unknown = p.gt_classes[g] < 0
        classes = [c for c, part in enumerate(p.info.class_parts) if part == p.gt_parts[g]] if unknown else None
        x0, y0, x1, y1 = p.gt_boxes[g].tolist()
        for c in classes or [int(p.gt_classes[g])]:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": int(p.gt_images[g]) + 1,
                    "category_id": c,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": 1e4,
                    "iscrowd": int(unknown),
                }
            )
    boxes = p.det_boxes.astype(np.float64)
    results = [
        {
            "image_id": int(p.det_images[d]) + 1,
            "category_id": int(p.det_classes[d]),
            "bbox": [*boxes[d, :2].tolist(), *(boxes[d, 2:] - boxes[d, :2]).tolist()],
            "score": float(p.det_scores[d]),
        }
        for d in range(p.num_detections)
    ]
    file = {
        "images": [{"id": i + 1, "height": 640, "width": 640} for i in range(p.num_images)],
        "categories": [{"id": c, "name": f"class {c}"} for c in range(len(p.info.class_parts))],
        "annotations": annotations,
    }
    return file, results


def coco_ap50(predictions):
    """pycocotools' number."""
    file, results = coco_dicts(predictions)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = file
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]
    return 100 * precision[precision > -1].mean()


@pytest.mark.parametrize("seed", range(3))
def test_the_ap_is_that_of_pycocotools(seed):
    predictions = make_predictions(60, detections_per_image=9, seed=seed)
    assert (predictions.gt_classes < 0).any()
    gains = points_lost(predictions)
    assert gains["AP"] == pytest.approx(coco_ap50(predictions), abs=1e-9)
    assert all(gain >= 0 for gain in gains.values())
    assert gains["wrong class"] > 1 and gains["background"] > 0


# hotcoco's names of TIDE's kinds, and ours. Its "FP" and "FN" (all false ones taken away, nothing missed) have no twin
# here; and it tells how many errors there are of a kind, not which detections they are, so that counts are compared.
TIDE_KINDS = {
    "Loc": "poor box",
    "Cls": "wrong class",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Both": "other",
    "Miss": "missed",
}


def tide_errors(predictions):
    file, results = coco_dicts(predictions)
    truth = hotcoco.COCO(file)
    evaluation = hotcoco.COCOeval(truth, truth.load_res(results), "bbox")
    evaluation.evaluate()
    return evaluation.tide_errors(pos_thr=0.5, bg_thr=0.1)


def our_counts(predictions):
    counts = analyze_errors(predictions, score_threshold=-np.inf).counts()
    return {**counts["detections"], "missed": counts["garments"]["missed"]}


def only_rows(predictions, rows):
    """The predictions with some of their detections."""
    columns = ("det_boxes", "det_scores", "det_classes", "det_attributes")
    return replace(
        predictions,
        det_offsets=np.searchsorted(rows, predictions.det_offsets),
        **{name: getattr(predictions, name)[rows] for name in columns},
    )


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_tides(seed):
    """
    All counts are hotcoco's, and the points of every kind where at most one kind of error is about a garment.

    Where a poor box and a detection of another class are about the same missed garment, TIDE lets only the better
    scored of the two find it, whichever kind is being repaired: repairing the other kind then finds nothing. Here each
    kind is repaired as if it were the only one, so that its points are never fewer than TIDE's.
    """
    predictions = make_predictions(60, detections_per_image=9, classes="part", seed=seed)
    assert (predictions.gt_classes >= 0).all()
    peer, gains, counts = tide_errors(predictions), points_lost(predictions), our_counts(predictions)
    assert {kind: counts[kind] for kind in TIDE_KINDS.values()} == {
        kind: peer["counts"][name] for name, kind in TIDE_KINDS.items()
    }
    assert min(counts.values()) == counts["excused"] == 0 < counts["missed"]
    peer_gains = {kind: 100 * peer["delta_ap"][name] for name, kind in TIDE_KINDS.items()}
    assert gains["AP"] == pytest.approx(100 * peer["ap_base"], abs=1e-9)
    for kind in ("duplicate", "background", "other", "missed"):
        assert gains[kind] == pytest.approx(peer_gains[kind], abs=1e-9), kind
    more = [gains[kind] - peer_gains[kind] for kind in ("poor box", "wrong class")]
    assert min(more) > -1e-9 and max(more) > 0.1

    errors = analyze_errors(predictions, score_threshold=-np.inf)
    poor, wrong = (errors.det_outcomes == DETECTION_OUTCOMES.index(kind) for kind in ("poor box", "wrong class"))
    rivals = poor & np.isin(errors.det_garments, errors.det_garments[wrong])
    fewer = only_rows(predictions, np.flatnonzero(~rivals))
    peer, gains = tide_errors(fewer), points_lost(fewer)
    assert rivals.sum() > 5 and peer["counts"]["Loc"] == poor.sum() - rivals.sum() > 5
    for name, kind in TIDE_KINDS.items():
        assert gains[kind] == pytest.approx(100 * peer["delta_ap"][name], abs=1e-9), kind
        assert gains[kind] > 0


def test_tide_knows_garments_of_unknown_class_otherwise():
    """
    What lies on a garment of unknown class by less than the threshold is background here, as that is no garment to
    find; hotcoco takes its share of the region for an IoU with a garment of its class, so for a poor box.
    """
    predictions = image(
        [((0, 0, 10, 10), JEANS, PART[JEANS], target(0)), ((50, 0, 60, 10), -1, PART[JEANS], target(0))],
        [
            ((0, 0, 10, 10), JEANS, 0.9, row(0)),
            ((57, 0, 67, 10), JEANS, 0.8, row(0)),
            ((51, 1, 59, 9), JEANS, 0.7, row(0)),
        ],
    )
    peer, counts = tide_errors(predictions), our_counts(predictions)
    assert (counts["right"], counts["background"], counts["excused"], counts["poor box"]) == (1, 1, 1, 0)
    assert (peer["counts"]["Bkg"], peer["counts"]["Loc"]) == (0, 1)
    assert points_lost(predictions)["AP"] == pytest.approx(100 * peer["ap_base"]) == 100


def test_what_repair_gains_by_hand():
    """Two shirts: one found; a poor box of better score beside it; the second shirt is what the poor box is about."""
    garments = [((0, 0, 10, 10), SHIRT, PART[SHIRT], target(0)), ((50, 0, 60, 10), SHIRT, PART[SHIRT], target(0))]
    detections = [((50, 0, 60, 4), SHIRT, 0.9, row(0)), ((0, 0, 10, 10), SHIRT, 0.8, row(0))]
    gains = points_lost(image(garments, detections))
    # Precision 1/2 up to recall 1/2: 51 of the 101 points.
    assert gains["AP"] == pytest.approx(100 * 51 / 101 / 2)
    assert gains["AP"] + gains["poor box"] == pytest.approx(100)
    assert gains["missed"] == 0 == gains["duplicate"] == gains["wrong class"]  # something is about both garments
    nothing = image(garments, [((50, 0, 60, 10), COAT, 0.9, row(0))])
    gains = points_lost(nothing)
    assert gains["AP"] == 0 and gains["missed"] == 0 and gains["wrong class"] == pytest.approx(100 * 51 / 101)
    assert np.isnan(points_lost(image([], []))["AP"])


def test_wrong_groups_by_hand():
    targets = np.stack([target(0, [1]), target(0, [1]), target(0, [1]), np.full(SCHEMA.num_labels, -1)]).astype(np.int8)
    targets[2, SCHEMA.slice("print").start + 2] = -1
    scores = np.stack([row(0, [1]), row(1, [1, 2]), row(0, [1, 2]), row(0)])
    assert wrong_groups(scores, targets, SCHEMA).tolist() == [[0, 0], [1, 1], [0, 0], [-1, -1]]
    scores[0, SCHEMA.slice("fit")] = 0  # no answer
    assert wrong_groups(scores, targets, SCHEMA, {"print": 0.95}).tolist() == [[1, 1], [1, 1], [0, 1], [-1, -1]]


def suspicious():
    """Ten shirts with clear labels; one whose fit, one whose print is not what the model is sure of."""
    box = [(10 * i, 0, 10 * i + 8, 8) for i in range(12)]
    targets = [target(i % 2, [1] if i < 6 else [3]) for i in range(12)]
    scores = [row(i % 2, [1] if i < 6 else [3], yes=0.8 if i < 10 else 0.9) for i in range(12)]
    scores[3] = row(0, [1], yes=0.95)  # given: 1
    scores[4] = row(0, [1, 3], yes=0.85)  # print 3 is not given
    scores[9] = row(1, [], yes=0.8)  # print 3 is given
    garments = [(b, SHIRT, PART[SHIRT], t) for b, t in zip(box, targets, strict=True)]
    return image(garments, [(b, SHIRT, 0.9, s) for b, s in zip(box, scores, strict=True)], scores)


def test_suspects_by_hand():
    suspects = find_suspects(suspicious())
    found = {(r["place"], r["group"], r["given"], r["suggested"]) for r in suspects.rows()}
    fits, prints = (SCHEMA.group(name).labels for name in ("fit", "print"))
    assert found == {
        (3, "fit", fits[1].name, fits[0].name),
        (4, "print", None, prints[3].name),
        (9, "print", prints[3].name, None),
    }
    rows = suspects.rows()
    assert [r["rank"] for r in rows] == [1, 2, 3] and rows[0]["place"] == 3
    assert rows[0]["margin"] == pytest.approx(0.9, abs=1e-3)  # 0.95 against 0.05
    assert rows[0]["given_korean"] == fits[1].korean and rows[0]["image_id"] == 5
    assert (np.diff(suspects.margins) <= 0).all() and (suspects.margins > 0).all()
    assert len(suspects.rows(2)) == 2
    # Without scores on true boxes those of the detections serve.
    without = find_suspects(replace(suspicious(), gt_attributes=None))
    assert {(r["place"], r["group"]) for r in without.rows()} == {(3, "fit"), (4, "print"), (9, "print")}


def test_a_suspicious_class():
    garments = [((10 * i, 0, 10 * i + 8, 8), SHIRT, PART[SHIRT], target(0)) for i in range(6)]
    detections = [(g[0], SHIRT, 0.9 if i else 0.5, row(0)) for i, g in enumerate(garments)]
    garments.append(((80, 0, 88, 8), COAT, PART[COAT], target(0)))
    detections.append(((80, 0, 88, 8), SHIRT, 0.95, row(0)))
    garments.append(((90, 0, 98, 8), COAT, PART[COAT], target(0)))
    detections.append(((90, 0, 98, 8), SHIRT, 0.6, row(0)))  # less sure than usual
    (found,) = [r for r in find_suspects(image(garments, detections)).rows() if r["group"] == "category"]
    assert (found["place"], found["given"], found["suggested"]) == (6, "coat", "shirt")
    assert found["suggested_score"] == found["margin"] == pytest.approx(0.95)


def test_wrong_labels_that_were_put_in_are_found():
    """One label in fifty is exchanged: most of the first suspects are those."""
    predictions = make_predictions(1500, detections_per_image=2, seed=3)
    columns = predictions.schema.slice("fit")
    fit = predictions.gt_targets[:, columns]
    rng = np.random.default_rng(0)
    clear = (fit >= 0).all(axis=1) & (predictions.gt_attributes[:, columns].argmax(axis=1) == fit.argmax(axis=1))
    changed = rng.choice(np.flatnonzero(clear), size=len(fit) // 50, replace=False)
    fit[changed] = np.roll(fit[changed], 1, axis=1)
    suspects = find_suspects(predictions)
    mine = suspects.groups == predictions.schema.group_names.index("fit")
    first = suspects.garments[mine][: len(changed)]
    chance = len(changed) / (fit >= 0).all(axis=1).sum()
    assert np.isin(first, changed).mean() > 10 * chance


def test_nothing_to_suspect():
    assert len(find_suspects(make_predictions(0))) == 0
    assert find_suspects(image([], [])).rows() == []
