import contextlib
import io
from dataclasses import replace

import hotcoco
import numpy as np
import pycocotools.mask as mask_util
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.objects import draw_masks, to_coco
from kfashion_d2.evaluation.detection.coco_ap import coco_tables
from kfashion_d2.evaluation.detection.object_arrays import Masks, ObjectArrays, to_rle
from tests.evaluation.detection.drawn_coco import drawn_coco

NUM_CATEGORIES = 6


def pycocotools_run(gt, dt, iou_type, max_dets):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = gt
        truth.createIndex()
        return evaluated(COCOeval(truth, truth.loadRes(dt), iou_type), max_dets)


def hotcoco_run(gt, dt, iou_type, max_dets):
    truth = hotcoco.COCO(gt)
    return evaluated(hotcoco.COCOeval(truth, truth.load_res(dt), iou_type), max_dets)


def evaluated(evaluation, max_dets):
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.params.maxDets = max_dets
        evaluation.evaluate()
        evaluation.accumulate()
        if max_dets == [1, 10, 100]:
            evaluation.summarize()
    return evaluation


def as_arrays(gt, dt, iou_type):
    """Of category ids 0 to 5; masks of different polygons, areas of the masks."""
    positions = {image["id"]: position for position, image in enumerate(gt["images"])}
    sides = []
    for annotations in (gt["annotations"], dt):
        masks = None
        if iou_type == "segm":
            masks = Masks.from_rles(to_rle(a["segmentation"], 400, 300) for a in annotations)
        boxes = np.array([a["bbox"] for a in annotations])
        side = ObjectArrays(
            images=np.array([positions[a["image_id"]] for a in annotations]),
            categories=np.array([a["category_id"] for a in annotations]),
            boxes=boxes,
            areas=boxes[:, 2] * boxes[:, 3] if masks is None else masks.areas(),
            scores=np.array([a["score"] for a in annotations]) if annotations is dt else None,
            crowd=None if annotations is dt else np.array([a["iscrowd"] for a in annotations], dtype=bool),
            masks=masks,
        )
        sides.append(side)
    truth, found = sides
    return ObjectArrays(**{**vars(truth), "areas": np.array([a["area"] for a in gt["annotations"]])}), found


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("max_dets", [[1, 10, 100], [1, 2, 3]])
@pytest.mark.parametrize("seed, grid", [(0, None), (1, 20)])
@pytest.mark.parametrize("peer_run", [pycocotools_run, hotcoco_run])
def test_equals_the_peers(peer_run, iou_type, max_dets, seed, grid):
    # Category 3 has detections alone, 4 ground truth alone, 5 nothing; some images are empty.
    gt, dt = drawn_coco(seed, images=25, categories=NUM_CATEGORIES, used=(0, 1, 2, 3, 4), crowd=0.25, grid=grid)
    gt["annotations"] = [a for a in gt["annotations"] if a["category_id"] != 3]
    dt = [d for d in dt if d["category_id"] != 4]
    if iou_type == "segm":
        for result in dt:
            x, y, w, h = result["bbox"]
            result["segmentation"] = to_rle([[x, y, x + w, y, x + w, y + h]], 400, 300)
    arrays = as_arrays(gt, dt, iou_type)
    if iou_type == "segm":
        for result in dt:
            del result["bbox"]
    tables = coco_tables(*arrays, NUM_CATEGORIES, max_dets=max_dets)
    peer = peer_run(gt, dt, iou_type, max_dets)
    precision, recall = peer.eval["precision"], peer.eval["recall"]
    np.testing.assert_allclose(tables.ap, precision[..., -1].mean(axis=1), rtol=0, atol=1e-12)
    np.testing.assert_allclose(tables.recall, recall[..., -1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(tables.recall_at, recall[:, :, 0, :2].transpose(2, 0, 1), rtol=0, atol=1e-12)
    assert (tables.ap[:, 3] == -1).all() and (tables.ap[:, 4, 0] == 0).all()
    if max_dets == [1, 10, 100]:
        np.testing.assert_allclose(tables.stats, peer.stats, rtol=0, atol=1e-12)


def test_golden_values():
    """Two garments, the better detection of IoU 0.8 on the first; the other is a false one."""
    gt = ObjectArrays(
        images=np.array([0, 1]),
        categories=np.zeros(2, dtype=np.int64),
        boxes=np.array([[0, 0, 100, 100], [0, 0, 20, 20.0]]),
        areas=np.array([10_000, 400.0]),
    )
    dt = ObjectArrays(
        images=np.array([0, 0]),
        categories=np.zeros(2, dtype=np.int64),
        boxes=np.array([[0, 0, 100, 80], [300, 300, 50, 50.0]]),
        areas=np.array([8_000, 2_500.0]),
        scores=np.array([0.9, 0.5]),
    )
    ap, ap50, ap75, small, medium, large, *_ = coco_tables(gt, dt, 1).stats
    assert ap50 == ap75 == pytest.approx(51 / 101)
    assert ap == pytest.approx(0.7 * 51 / 101)
    assert (small, medium, large) == (0, -1, pytest.approx(0.7))


def test_masks_of_garments_size_equal_the_peers():
    """On outlines as large as garments are, some of them crowd regions, at the scale of a validation shard."""
    gt, dt = draw_masks(300)
    tables = coco_tables(gt, dt, 25)
    gt, dt = (replace(objects, attributes=None) for objects in (gt, dt))
    for peer_run in (pycocotools_run, hotcoco_run):
        peer = peer_run(*to_coco(gt, dt), "segm", [1, 10, 100])
        np.testing.assert_allclose(tables.ap, peer.eval["precision"][..., -1].mean(axis=1), rtol=0, atol=1e-12)
        np.testing.assert_allclose(tables.stats, peer.stats, rtol=0, atol=1e-12)
    assert 0.1 < tables.stats[0] < 0.5 and (tables.ap[:, :, 0] >= 0).sum() > 200


def test_more_detections_than_a_hundred_count_where_the_limit_says_so():
    """The 150th detection of an image is the one that finds the garment."""
    gt = ObjectArrays(np.zeros(1, int), np.zeros(1, int), np.array([[0, 0, 10, 10.0]]), np.array([100.0]))
    boxes = np.full((150, 4), 50.0)
    boxes[-1] = [0, 0, 10, 10]
    scores = np.linspace(0.9, 0.1, 150)
    dt = ObjectArrays(np.zeros(150, int), np.zeros(150, int), boxes, boxes[:, 2:].prod(axis=1), scores=scores)
    assert coco_tables(gt, dt, 1).stats[0] == 0
    assert coco_tables(gt, dt, 1, max_dets=(1, 10, 300)).stats[0] == pytest.approx(1 / 150)


def test_mistakes_are_named():
    gt, dt = as_arrays(*drawn_coco(0, images=2), "bbox")
    with pytest.raises(ValueError, match="three limits, ascending"):
        coco_tables(gt, dt, NUM_CATEGORIES, max_dets=[100])
    with pytest.raises(ValueError, match="areas has 1 rows"):
        ObjectArrays(images=np.zeros(2), categories=np.zeros(2), boxes=np.zeros((2, 4)), areas=np.zeros(1))


def test_masks_come_back():
    rng = np.random.default_rng(0)
    pixels = [np.asfortranarray(rng.random((5 + i, 7)) < 0.5, dtype=np.uint8) for i in range(4)]
    masks = Masks.from_rles(mask_util.encode(p) for p in pixels)
    for rle, index in zip(masks.take(np.array([3, 1, 0, 1])), [3, 1, 0, 1], strict=True):
        np.testing.assert_array_equal(mask_util.decode(rle), pixels[index])
    assert masks.areas().tolist() == [p.sum() for p in pixels]
    many = masks.take(np.tile(np.arange(4), 150))  # more than pycocotools measures at once
    assert many.areas().tolist() == [p.sum() for p in pixels] * 150
    assert list(many) == [masks[i % 4] for i in range(600)] and list(masks.take(np.zeros(0, dtype=np.int64))) == []
    assert Masks.from_rles([]).areas().shape == (0,)
    with pytest.raises(IndexError):
        masks[4]
