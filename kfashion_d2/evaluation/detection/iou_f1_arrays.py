"""
This module computes the tables behind AP at IoU and F1 from arrays; :mod:`.iou_f1` reads COCO's dicts into them and
explains the rows.

Shapes: K categories, A area ranges, T IoU thresholds, F F1 thresholds (the last of each is -1: no demand), P pairs of a
ground truth and a detection of one image and category, G groups of such pairs, R pairs of thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pycocotools.mask as mask_util

from .attribute_f1 import check_f1_type, count_attributes, f1_from_counts
from .object_arrays import ObjectArrays, group_starts, present
from .threshold_matching import Matches, Pairs, match_pairs

__all__ = ["IoUF1Tables", "iou_f1_tables"]

_IOU_THRESHOLDS = np.append(np.linspace(0.5, 0.95, 10), -1.0)
_F1_THRESHOLDS = np.append(np.linspace(0.5, 0.95, 10), -1.0)
_RECALLS = np.linspace(0.0, 1.0, 101)
_AREAS = {"": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}
_MAX_DETS = (1, 10, 100)
# Fashionpedia's outerwear, accessories and garment parts, by position of the category.
_SUPER_CATEGORIES = {"o": range(13), "a": range(13, 27), "p": range(27, 46)}
_MAX_PAIRS = 1 << 20  # of the categories that are matched together
_BLOCK = 1 << 18  # pairs whose boxes or attributes are compared at once
_MAX_ENTRIES = 1 << 22  # of a table of matches times thresholds


@dataclass(frozen=True)
class IoUF1Tables:
    """
    These tables have average precision and recall of every category, area range and pair of thresholds.

    Attributes:
        ap: float64 (K, A, T, F), average precision with at most 100 detections; NaN where there is nothing to find.
        recall: float64 (K, A, T, F), recall with at most 100 detections; NaN where there is nothing to find.
        recall_at: float64 (2, K, T, F), recall with 1 and with 10 detections an image, of all areas.
        with_attributes: bool (K,), the categories whose F1 counts; of the others only F = -1 is filled.
    """

    ap: np.ndarray
    recall: np.ndarray
    recall_at: np.ndarray
    with_attributes: np.ndarray

    def summary(self, categories: Sequence[int] | None = None) -> dict[str, dict[str, float]]:
        """
        Return the rows of :func:`evaluate_iou_f1`; with `categories` (indices), those of these categories alone and
        without the rows of super-categories.
        """
        modes = {"iou_f1": (True, True), "iou": (True, False), "f1": (False, True)}
        return {name: self._rows(use_iou, use_f1, categories) for name, (use_iou, use_f1) in modes.items()}

    def _rows(self, use_iou: bool, use_f1: bool, categories: Sequence[int] | None) -> dict[str, float]:
        rows: dict[str, float] = {}
        if categories is None:
            categories = range(len(self.ap))
            for letter, positions in _SUPER_CATEGORIES.items():
                if letter != "a" or not use_f1:
                    kept = positions if len(self.ap) > positions[-1] else []
                    rows[f"AP{letter}"] = self._mean_of_cells(self.ap[:, 0], kept, use_iou, use_f1)

        def ap(area: int = 0, iou: float | None = None, f1: float | None = None) -> float:
            return self._mean_of_cells(self.ap[:, area], categories, use_iou, use_f1, iou, f1)

        rows["AP"] = ap()
        levels = (0.5, 0.75)
        if use_iou:
            rows.update((f"AP_IOU{100 * iou:.0f}", ap(iou=iou)) for iou in levels)
        if use_f1:
            rows.update((f"AP_F1{100 * f1:.0f}", ap(f1=f1)) for f1 in levels)
        if use_iou and use_f1:
            rows.update((f"AP_IOU{100 * i:.0f}_F1{100 * f:.0f}", ap(iou=i, f1=f)) for i in levels for f in levels)
        rows.update((f"AP{letter}", ap(area)) for area, letter in enumerate(_AREAS) if letter)
        by_limit = [*self.recall_at, self.recall[:, 0]]
        for limit, table in zip(_MAX_DETS, by_limit, strict=True):
            rows[f"AR@{limit}"] = self._mean_of_cells(table, categories, use_iou, use_f1)
        for area, letter in enumerate(_AREAS):
            if letter:
                rows[f"AR{letter}@100"] = self._mean_of_cells(self.recall[:, area], categories, use_iou, use_f1)
        return rows

    def _mean_of_cells(
        self,
        table: np.ndarray,
        categories: Sequence[int],
        use_iou: bool,
        use_f1: bool,
        iou: float | None = None,
        f1: float | None = None,
    ) -> float:
        """Return the mean over categories and thresholds; -1 when nothing is left."""
        ious = _chosen(_IOU_THRESHOLDS, use_iou, iou)
        f1s = _chosen(_F1_THRESHOLDS, use_f1, f1)
        parts = [
            table[position][ious][:, f1s if use_f1 and self.with_attributes[position] else [-1]].ravel()
            for position in categories
        ]
        return mean_or_minus_one(np.concatenate([np.zeros(0), *parts]))


def mean_or_minus_one(values: np.ndarray) -> float:
    """Return the mean of what was measured; -1, as COCO does, where there was nothing to find (-1 or NaN) anywhere."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else -1.0


def _chosen(thresholds: np.ndarray, used: bool, only: float | None) -> list[int]:
    if not used:
        return [len(thresholds) - 1]
    return list(range(len(thresholds) - 1)) if only is None else np.flatnonzero(np.isclose(thresholds, only)).tolist()


def iou_f1_tables(
    gt: ObjectArrays,
    dt: ObjectArrays,
    *,
    num_categories: int,
    num_attributes: int,
    f1_type: str = "binary_macro",
    with_attributes: np.ndarray | None = None,
    unfindable: np.ndarray | None = None,
    sound: tuple[np.ndarray, np.ndarray] | None = None,
    max_dets: Sequence[int] = _MAX_DETS,
    without_iou: bool = True,
) -> IoUF1Tables:
    """
    Compute :func:`~.iou_f1.evaluate_iou_f1` on arrays. 120,000 images with 20 detections each take seconds and well
    below 4 GiB: a few categories are matched at a time, attributes stay packed, and only what was matched is kept.

    Args:
        gt: with `attributes`, and `masks` to compare masks.
        dt: with `scores` and `attributes`, and `masks` where `gt` has them.
        num_categories: K.
        num_attributes: how many attributes the packed bits hold.
        f1_type: see :func:`~.attribute_f1.f1_from_counts`.
        with_attributes: bool (K,), the categories whose F1 counts; None: all.
        unfindable: bool (objects of gt,), ground truth that takes a detection and leaves it a false one.
        sound: bool (objects of gt,) and bool (objects of dt,), whose attributes are known; None: all.
        max_dets: the three limits of detections an image and category, ascending, in place of 1, 10 and 100.
        without_iou: also fill the last IoU threshold, at which a detection may be anywhere in the image.

    Raises:
        ValueError: an unknown type, or an F1 is asked for of an object without sound attributes.
    """
    check_f1_type(f1_type)
    flags = np.ones(num_categories, dtype=bool) if with_attributes is None else np.asarray(with_attributes, dtype=bool)
    shape = (num_categories, len(_AREAS), len(_IOU_THRESHOLDS), len(_F1_THRESHOLDS))
    tables = IoUF1Tables(
        ap=np.full(shape, np.nan),
        recall=np.full(shape, np.nan),
        recall_at=np.full((2, num_categories, *shape[2:]), np.nan),
        with_attributes=flags,
    )
    if gt.crowd is None:
        gt = replace(gt, crowd=np.zeros(len(gt), dtype=bool))
    objects = _Sorted(gt, dt, num_categories, max_dets)
    taken = np.zeros(len(gt), dtype=bool) if unfindable is None else unfindable
    objects.start(tables)
    for has_attributes in (False, True):
        for categories in _chunks(np.flatnonzero(flags == has_attributes), objects.pairs_per_category):
            pairs, gts, rows, gt_starts = objects.pairs(categories)
            if has_attributes:
                if sound is not None:
                    _require_sound(sound[0][gts], sound[1][objects.dt_rows[pairs.dets]])
                pairs = pairs._replace(f1=_pair_f1(gt, dt, gts, objects.dt_rows[pairs.dets], num_attributes, f1_type))
            reusable = present(gt.crowd)[rows] if not has_attributes else np.zeros(len(rows), dtype=bool)
            for ious, f1s in _threshold_pairs(has_attributes, without_iou):
                least_iou, least_f1 = _IOU_THRESHOLDS[ious].min(), _F1_THRESHOLDS[f1s].min()
                kept = pairs.take((pairs.iou >= least_iou) & (pairs.f1 >= least_f1))
                matches = match_pairs(
                    kept, gt_starts, objects.gt_ignored[:, rows], reusable, _IOU_THRESHOLDS[ious], _F1_THRESHOLDS[f1s]
                )
                for area, match in enumerate(matches):
                    objects.fill(tables, area, match, taken[rows], gt_starts, ious, f1s)
    return tables


def _threshold_pairs(has_attributes: bool, without_iou: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pairs of thresholds that a summary reads, as indices (R,) and (R,); those without an IoU apart."""
    last_iou, last_f1 = len(_IOU_THRESHOLDS) - 1, len(_F1_THRESHOLDS) - 1
    if has_attributes:
        ious, f1s = np.meshgrid(np.arange(last_iou), np.arange(last_f1 + 1), indexing="ij")
        pairs = [(ious.ravel(), f1s.ravel()), (np.full(last_f1, last_iou), np.arange(last_f1))]
    else:
        pairs = [(np.arange(last_iou), np.full(last_iou, last_f1)), (np.array([last_iou]), np.array([last_f1]))]
    return pairs if without_iou else pairs[:1]


def _chunks(categories: np.ndarray, pairs_per_category: np.ndarray) -> Iterator[np.ndarray]:
    """Yield categories that are matched together: as many as have _MAX_PAIRS pairs, or one that has more."""
    chunk: list[int] = []
    total = 0
    for category in categories.tolist():
        if chunk and total + pairs_per_category[category] > _MAX_PAIRS:
            yield np.array(chunk)
            chunk, total = [], 0
        chunk.append(category)
        total += pairs_per_category[category]
    if chunk:
        yield np.array(chunk)


class _Sorted:
    """
    These objects are sorted by category, then image, detections then by falling score; the best detections of each
    image and category are kept, as many as the last limit says.
    """

    def __init__(self, gt: ObjectArrays, dt: ObjectArrays, num_categories: int, max_dets: Sequence[int]):
        self.gt, self.dt, self.max_dets = gt, dt, max_dets
        num_images = 1 + max((int(o.images.max()) for o in (gt, dt) if len(o)), default=0)
        self.gt_rows = np.lexsort((gt.images, gt.categories))
        dt_rows = np.lexsort((-present(dt.scores), dt.images, dt.categories))
        dt_keys = dt.categories[dt_rows] * num_images + dt.images[dt_rows]
        starts = group_starts(dt_keys)
        ranks = np.arange(len(dt_rows)) - np.repeat(starts[:-1], np.diff(starts))
        kept = ranks < max_dets[-1]
        self.dt_rows, self.ranks, dt_keys = dt_rows[kept], ranks[kept], dt_keys[kept]
        # Groups that have both.
        gt_keys = gt.categories[self.gt_rows] * num_images + gt.images[self.gt_rows]
        gt_starts, dt_starts = group_starts(gt_keys), group_starts(dt_keys)
        shared, of_gt, of_dt = np.intersect1d(
            gt_keys[gt_starts[:-1]], dt_keys[dt_starts[:-1]], assume_unique=True, return_indices=True
        )
        self.group_category = shared // num_images
        self.gt_first, self.num_gt = gt_starts[:-1][of_gt], np.diff(gt_starts)[of_gt]
        self.dt_first, self.num_dt = dt_starts[:-1][of_dt], np.diff(dt_starts)[of_dt]
        self.pairs_per_category = np.bincount(
            self.group_category, weights=self.num_gt * self.num_dt, minlength=num_categories
        )
        bounds = np.array(list(_AREAS.values()))
        self.gt_ignored = present(gt.crowd) | (gt.areas < bounds[:, :1]) | (gt.areas > bounds[:, 1:])  # rows as in `gt`
        self.num_wanted = np.stack(
            [np.bincount(gt.categories[~ignored], minlength=num_categories) for ignored in self.gt_ignored], axis=1
        )
        # The order of the precision-recall curve: by score, and where scores are equal by image and rank.
        categories, areas = dt.categories[self.dt_rows], dt.areas[self.dt_rows]
        self.by_score = np.lexsort((-present(dt.scores)[self.dt_rows], categories))
        self.position = np.empty(len(self.by_score), dtype=np.int64)
        self.position[self.by_score] = np.arange(len(self.by_score))
        self.category_starts = np.searchsorted(categories, np.arange(num_categories + 1))
        areas = areas[self.by_score]
        self.inside = (areas >= bounds[:, :1]) & (areas <= bounds[:, 1:])  # (A, D), in the order of the curve
        self.num_inside = np.zeros((len(bounds), len(areas) + 1), dtype=np.int32)
        np.cumsum(self.inside, axis=1, out=self.num_inside[:, 1:])

    def start(self, tables: IoUF1Tables) -> None:
        """Put 0 into the tables where there is something to find."""
        for category, area in zip(*np.nonzero(self.num_wanted), strict=True):
            tables.ap[category, area] = tables.recall[category, area] = 0
        tables.recall_at[:, self.num_wanted[:, 0] > 0] = 0

    def pairs(self, categories: np.ndarray) -> tuple[Pairs, np.ndarray, np.ndarray, np.ndarray]:
        """
        Return the pairs of some categories without their F1 (0); the ground truth of each; the ground truth of the
        groups, one group after the other; and where each group's starts. Ground truth is rows of `gt`, `dets` indices
        into `dt_rows`.
        """
        chosen = np.flatnonzero(np.isin(self.group_category, categories))
        num_gt, num_dt = self.num_gt[chosen], self.num_dt[chosen]
        sizes = num_gt * num_dt
        groups = np.repeat(np.arange(len(chosen)), sizes)
        within = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        det_ranks, gt_positions = np.divmod(within, num_gt[groups])
        dets = self.dt_first[chosen][groups] + det_ranks
        gts = self.gt_rows[self.gt_first[chosen][groups] + gt_positions]
        on_masks = self.gt.masks is not None
        iou = self._mask_iou(chosen) if on_masks else _pair_iou(self.gt, self.dt, gts, self.dt_rows[dets])
        gt_starts = np.concatenate([[0], np.cumsum(num_gt)])
        rows = self.gt_rows[np.repeat(self.gt_first[chosen] - gt_starts[:-1], num_gt) + np.arange(gt_starts[-1])]
        return Pairs(groups, det_ranks, gt_positions, dets, iou, np.zeros(len(iou))), gts, rows, gt_starts

    def _mask_iou(self, chosen: np.ndarray) -> np.ndarray:
        """Compute the IoU of the masks of all pairs of some groups, float64 (P,), by pycocotools, group by group."""
        gt_masks, dt_masks, crowd = present(self.gt.masks), present(self.dt.masks), present(self.gt.crowd)
        parts = [np.zeros(0)]
        for group in chosen.tolist():
            gts = self.gt_rows[self.gt_first[group] :][: self.num_gt[group]]
            dets = self.dt_rows[self.dt_first[group] :][: self.num_dt[group]]
            masks = [dt_masks[row] for row in dets.tolist()], [gt_masks[row] for row in gts.tolist()]
            parts.append(mask_util.iou(*masks, crowd[gts].astype(int).tolist()).ravel())
        return np.concatenate(parts)

    def fill(
        self,
        tables: IoUF1Tables,
        area: int,
        matches: Matches,
        unfindable: np.ndarray,
        gt_starts: np.ndarray,
        ious: np.ndarray,
        f1s: np.ndarray,
    ) -> None:
        """Put the average precision and recall of one area range and R pairs of thresholds into the tables."""
        got = matches.positions >= 0
        true = got & ~matches.ignored
        if unfindable.any():
            true &= ~unfindable[gt_starts[matches.groups][:, None] + np.maximum(matches.positions, 0)]
        order = np.argsort(self.position[matches.dets])
        position, rank = self.position[matches.dets][order], self.ranks[matches.dets][order]
        true, ignored = true[order], matches.ignored[order]
        bounds = np.searchsorted(position, self.category_starts)
        for category in np.flatnonzero(np.diff(bounds)).tolist():
            wanted = int(self.num_wanted[category, area])
            if not wanted:
                continue
            rows = slice(bounds[category], bounds[category + 1])
            before = self.num_inside[area, self.category_starts[category]]
            counted = self.num_inside[area, position[rows] + 1] - before
            inside = self.inside[area, position[rows]]
            step = max(1, _MAX_ENTRIES // (rows.stop - rows.start))
            for start in range(0, len(ious), step):
                part = slice(start, start + step)
                cell = category, area, ious[part], f1s[part]
                hits = true[rows, part]
                tables.ap[cell] = _average_precision(hits, ignored[rows, part], inside, counted, wanted)
                tables.recall[cell] = hits.sum(axis=0) / wanted
                if area == 0:
                    for i, limit in enumerate(self.max_dets[:-1]):
                        num_hits = hits[rank[rows] < limit].sum(axis=0)
                        tables.recall_at[i, category, ious[part], f1s[part]] = num_hits / wanted


def _average_precision(
    true: np.ndarray, ignored: np.ndarray, inside: np.ndarray, counted: np.ndarray, wanted: int
) -> np.ndarray:
    """
    Compute COCO's 101-point average precision. Only where a true detection is does precision rise, so the M detections
    that were matched are enough; how many others came before is counted.

    Args:
        true, ignored: bool (M, R), in the order of the scores.
        inside: bool (M,), of the area range; what is outside counts only where it is true.
        counted: int (M,), detections inside up to this one, itself included.
        wanted: ground truth to find, above 0.

    Returns:
        float64 (R,).
    """
    num_true = np.cumsum(true, axis=0, dtype=np.int32)
    change = np.where(true, ~inside[:, None], 0) - (ignored & inside[:, None])
    count = counted[:, None] + np.cumsum(change, axis=0, dtype=np.int32)
    rows, columns = np.nonzero(true)
    num_found = num_true[rows, columns]
    best = np.zeros((true.shape[1], wanted + 1))
    best[columns, num_found] = num_found / (count[rows, columns] + np.spacing(1))
    best = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]
    needed = np.searchsorted(np.arange(wanted + 1) / wanted, _RECALLS, side="left")
    return best[:, needed].mean(axis=1)


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, start + _BLOCK)


def _pair_iou(gt: ObjectArrays, dt: ObjectArrays, gts: np.ndarray, dets: np.ndarray) -> np.ndarray:
    """
    Compute the IoU of pairs of boxes as pycocotools does, to the bit: of a crowd, the share of the detection in it.

    Returns:
        float64 (P,).
    """
    iou = np.zeros(len(gts))
    for block in _blocks(len(gts)):
        g, d = gt.boxes[gts[block]].T, dt.boxes[dets[block]].T
        width = np.minimum(d[2] + d[0], g[2] + g[0]) - np.maximum(d[0], g[0])
        height = np.minimum(d[3] + d[1], g[3] + g[1]) - np.maximum(d[1], g[1])
        shared = width * height
        area = d[2] * d[3]
        union = np.where(present(gt.crowd)[gts[block]], area, area + g[2] * g[3] - shared)
        np.divide(shared, union, out=iou[block], where=(width > 0) & (height > 0))
    return iou


def _pair_f1(
    gt: ObjectArrays, dt: ObjectArrays, gts: np.ndarray, dets: np.ndarray, num_attributes: int, f1_type: str
) -> np.ndarray:
    """Compute the F1 of the attributes of pairs, float64 (P,)."""
    if not num_attributes:
        return np.zeros(len(gts))
    f1 = np.zeros(len(gts))
    for block in _blocks(len(gts)):
        true, pred = present(gt.attributes)[gts[block]], present(dt.attributes)[dets[block]]
        counts = count_attributes(true & pred), count_attributes(true), count_attributes(pred)
        f1[block] = f1_from_counts(*counts, num_attributes, f1_type)
    return f1


def _require_sound(of_gt: np.ndarray, of_dt: np.ndarray) -> None:
    for sound, kind in ((of_gt, "ground-truth annotation"), (of_dt, "result")):
        if not sound.all():
            raise ValueError(
                f"a {kind} of a category with attributes has no attribute_ids, or one that is not among the "
                "attributes of the ground truth"
            )
