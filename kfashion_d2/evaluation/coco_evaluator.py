"""COCO's AP, with garments of unknown category excused, and beside it without that excuse."""

from __future__ import annotations

from .. import _needs_detectron2  # noqa: F401  # isort: skip

import copy
from collections import OrderedDict
from typing import Any

from detectron2.evaluation import COCOEvaluator

__all__ = ["KFashionCOCOEvaluator"]


class KFashionCOCOEvaluator(COCOEvaluator):
    """
    Detectron2's evaluator. Where the ground truth has ignore regions (``iscrowd: 1``, garments of unknown category),
    each task is reported a second time without them, as ``<task>_no_ignore``: there, a detection of such a garment is
    a false one. Images that were not processed do not count.
    """

    def _eval_predictions(self, predictions: list[dict[str, Any]], img_ids: Any = None) -> None:
        if img_ids is None:
            img_ids = sorted({x["image_id"] for x in predictions})
        truth = self._coco_api
        kept = [anno for anno in truth.dataset.get("annotations", []) if not anno["iscrowd"]]
        has_ignored = len(kept) < len(truth.anns)
        # The category ids are changed in place: the second round needs its own.
        again = [{**x, "instances": [dict(r) for r in x["instances"]]} for x in predictions] if has_ignored else []
        super()._eval_predictions(predictions, img_ids)
        if not has_ignored:
            return
        results = self._results
        self._coco_api = copy.copy(truth)
        self._coco_api.dataset = {**truth.dataset, "annotations": kept}
        self._coco_api.createIndex()
        self._results = OrderedDict()
        try:
            super()._eval_predictions(again, img_ids)
            results.update((f"{task}_no_ignore", metrics) for task, metrics in self._results.items())
        finally:
            self._coco_api, self._results = truth, results
