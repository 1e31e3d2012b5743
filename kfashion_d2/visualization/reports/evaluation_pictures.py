"""
This module makes pictures for the evaluation report: garments with their boxes, and whole images with truth beside
prediction.
"""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ...evaluation import Predictions
from ...evaluation.attributes.metrics import threshold_row
from ...schema import Label
from ..drawing.garment import Garment
from ..drawing.images import UNREADABLE, read_image
from ..drawing.instances import draw_comparison, shrink
from ..drawing.style import styles_from_record

__all__ = ["EvaluationPictures", "garments_from_predictions"]

logger = logging.getLogger(__name__)

CROP_HEIGHT, CROP_WIDTH, CROP_MARGIN = 200, 200, 0.2  # pixels, and of the box's longer side
SHEET_WIDTH = 1500  # pixels of truth and prediction together
SHEET_DETECTIONS = 10  # the surest of an image
TRUE_COLOR, DETECTED_COLOR = (0, 158, 115), (213, 94, 0)


def garments_from_predictions(predictions: Predictions, rows: np.ndarray) -> list[Garment]:
    """Return the detections in the given rows, int64 (M,), as they are drawn, without masks."""
    p, info = predictions, predictions.info
    least = threshold_row(info.threshold, p.schema).astype(np.float16)
    parts = info.class_parts
    garments = []
    for row in rows.tolist():
        scores = np.nan_to_num(p.det_attributes[row])
        # decode() has one threshold for a group: a label below its own is told as 0.
        told, has_score = scores.copy(), {}
        for group in p.schema.groups:
            columns = p.schema.slice(group.name)
            has_score[group.name] = bool(scores[columns].any())
            if not group.is_single:
                told[columns] = np.where(scores[columns] >= least[columns], scores[columns], 0)
        attributes: dict[str, list[tuple[Label, float | None]]] = dict(p.schema.decode(told, 1e-9))
        for group in p.schema.groups:
            if has_score[group.name]:
                attributes.setdefault(group.name, [])
        label = info.class_names[p.det_classes[row]]
        part = p.schema.parts.labels[parts[p.det_classes[row]]].name if parts else ""
        box = tuple(float(x) for x in p.det_boxes[row])
        garments.append(Garment(box, label, part, attributes, score=float(p.det_scores[row])))  # type: ignore[arg-type]
    return garments


class EvaluationPictures:
    """
    This maker of pictures gives data URIs of JPEG files; None of an image that cannot be read, with a warning.

    Args:
        predictions: what is drawn.
        dataset: dataset dicts by image index.
        read_bytes: `file_name` -> the image file's content.
    """

    def __init__(
        self, predictions: Predictions, dataset: Sequence[Mapping[str, Any]], read_bytes: Callable[[str], bytes]
    ):
        self.predictions, self.dataset, self.read_bytes = predictions, dataset, read_bytes
        self.num_drawn = self.num_unreadable = 0
        self._last: tuple[int, np.ndarray | None] = (-1, None)

    def crop(self, garment: int, detection: int = -1) -> str | None:
        """Cut out a garment, int row, with a margin; its true box is green, that of the detection (if any) orange."""
        p = self.predictions
        image = self._image(int(p.gt_images[garment]))
        if image is None:
            return None
        boxes = [(p.gt_boxes[garment], TRUE_COLOR)]
        boxes += [(p.det_boxes[detection], DETECTED_COLOR)] if detection >= 0 else []
        around = np.array([box for box, _ in boxes])
        x0, y0, x1, y1 = *around[:, :2].min(axis=0), *around[:, 2:].max(axis=0)
        margin = CROP_MARGIN * max(x1 - x0, y1 - y0, 1)
        height, width = image.shape[:2]
        left, top = int(np.clip(x0 - margin, 0, width - 1)), int(np.clip(y0 - margin, 0, height - 1))
        crop = image[top : max(int(y1 + margin), top + 1), left : max(int(x1 + margin), left + 1)]
        scale = min(CROP_HEIGHT / crop.shape[0], CROP_WIDTH / crop.shape[1])
        size = (max(round(crop.shape[1] * scale), 1), max(round(crop.shape[0] * scale), 1))
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        for box, color in boxes:
            corners = np.round((box - (left, top, left, top)) * scale).astype(int).tolist()
            for thickness, ink in ((4, (255, 255, 255)), (2, color)):
                cv2.rectangle(crop, tuple(corners[:2]), tuple(corners[2:]), ink, thickness)
        return self._uri(crop)

    def comparison(self, image: int, language: str, least: float) -> str | None:
        """Draw an image, int row: truth on the left, detections from a score of `least` on the right."""
        p = self.predictions
        picture = self._image(image)
        if picture is None:
            return None
        rows = np.arange(p.det_offsets[image], p.det_offsets[image + 1])
        rows = rows[p.det_scores[rows] >= least]
        rows = rows[np.argsort(-p.det_scores[rows], kind="stable")][:SHEET_DETECTIONS]
        record = self.dataset[int(p.image_indices[image])]
        predicted_styles: dict[str, list[tuple[Label, float]]] = {}
        for task, scores in (("style", p.style_scores), ("sub_style", p.sub_style_scores)):
            if scores is not None:
                best = np.argsort(-scores[image], kind="stable")[:3]
                predicted_styles[task] = [(p.schema.styles.labels[i], float(scores[image, i])) for i in best]
        sheet = draw_comparison(
            picture,
            record["annotations"],
            garments_from_predictions(p, rows),
            p.schema,
            p.info.class_names,
            language=language,
            iou_threshold=p.info.iou_threshold,
            true_styles=styles_from_record(record, p.schema),
            predicted_styles=predicted_styles,
        )
        return self._uri(shrink(sheet, SHEET_WIDTH))

    def _image(self, row: int) -> np.ndarray | None:
        if self._last[0] != row:
            record = self.dataset[int(self.predictions.image_indices[row])]
            try:
                image = read_image(record, self.read_bytes)
            except UNREADABLE as error:
                logger.warning("no picture of %s: %s", record["file_name"], error)
                self.num_unreadable += 1
                image = None
            self._last = (row, image)
        return self._last[1]

    def _uri(self, picture: np.ndarray) -> str:
        self.num_drawn += 1
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=82)
        return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
