"""The Detectron2 evaluator of image styles."""

from __future__ import annotations

import itertools
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from ..schema import UNKNOWN, AttributeSchema
from .metrics_file import metrics_text
from .style_metrics import evaluate_styles, style_table

__all__ = ["StyleEvaluator"]

logger = logging.getLogger(__name__)


class StyleEvaluator(DatasetEvaluator):
    """
    Scores an :class:`AttributeRCNN`'s ``style_scores`` and ``sub_style_scores`` against the "style" and "sub_style" of
    its inputs; see :func:`evaluate_styles`.

    Results (on the main process; an empty dict on others): "style", and "sub_style" where the model predicts it. They
    depend neither on the number of processes nor on the order of the images; an image seen twice counts once.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        schema: AttributeSchema,
        tasks: Sequence[str] = ("style", "sub_style"),
        output_dir: str | None = None,
        distributed: bool = True,
    ):
        """
        Args:
            dataset_name: for the report.
            schema: whose styles they are.
            tasks: what the model predicts.
            output_dir: where to write ``style_metrics.json``.
            distributed: gather from all processes; if not, each scores what it saw.
        """
        self._dataset_name = dataset_name
        self._schema = schema
        self._tasks = tuple(tasks)
        self._output_dir = output_dir
        self._distributed = distributed

    def reset(self) -> None:
        self._image_ids: list = []
        self._targets: list[list[int]] = []  # T ints each
        self._scores: list[np.ndarray] = []  # float32 (T, S) each

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """
        Args:
            inputs: with "image_id", "style" and "sub_style" (-1 or missing: unknown).
            outputs: with "<task>_scores", float (S,).

        Raises:
            ValueError: an output has no scores, or of another number of styles.
        """
        num_styles = len(self._schema.styles)
        for input_per_image, output in zip(inputs, outputs, strict=True):
            rows = []
            for task in self._tasks:
                scores = output.get(f"{task}_scores")
                if scores is None or scores.shape != (num_styles,):
                    found = "none" if scores is None else f"shape {tuple(scores.shape)}"
                    raise ValueError(
                        f"expected {task}_scores of shape ({num_styles},) in the model's output, found {found}: "
                        "evaluate a model of MODEL.META_ARCHITECTURE AttributeRCNN, with the MODEL.STYLE_HEAD and "
                        "the schema that it was trained with"
                    )
                rows.append(scores.detach().float().cpu().numpy())
            self._image_ids.append(input_per_image["image_id"])
            self._targets.append([int(input_per_image.get(task, UNKNOWN)) for task in self._tasks])
            self._scores.append(np.stack(rows))

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        num_tasks, num_styles = len(self._tasks), len(self._schema.styles)
        mine = (
            self._image_ids,
            np.array(self._targets, dtype=np.int64).reshape(-1, num_tasks),
            np.array(self._scores, dtype=np.float32).reshape(-1, num_tasks, num_styles),
        )
        gathered = [mine]
        if self._distributed:
            comm.synchronize()
            gathered = comm.gather(mine, dst=0)
            if not comm.is_main_process():
                return OrderedDict()
        ids, targets, scores = zip(*gathered, strict=True)
        # By image, whoever saw it and when.
        _, order = np.unique(list(itertools.chain(*ids)), return_index=True)
        targets, scores = np.concatenate(targets)[order], np.concatenate(scores)[order]
        results = OrderedDict(
            (task, evaluate_styles(scores[:, i], targets[:, i], self._schema.styles.labels))
            for i, task in enumerate(self._tasks)
        )
        logger.info(
            f"Styles on {self._dataset_name}, percent, over the images of known style:\n"
            + style_table(results, self._schema)
        )
        if self._output_dir:
            PathManager.mkdirs(self._output_dir)
            path = os.path.join(self._output_dir, "style_metrics.json")
            with PathManager.open(path, "wb") as file:
                file.write(metrics_text({"dataset": self._dataset_name, **results}).encode())
            logger.info(f"Wrote {path}")
        return results
