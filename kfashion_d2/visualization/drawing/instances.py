"""
This module draws garments: boxes, masks and numbers in the picture, and what is said of each on a card beside it.

Pictures are uint8 (H, W, 3) RGB; equal input gives equal pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ...evaluation.detection.matching import match_detections
from ...schema import UNSURE, AttributeSchema
from .cards import Color, Line, draw_panel, draw_tag, garment_card, readable_ink
from .fonts import load_font, resolve_language
from .garment import Garment, as_garments
from .style import Styles, draw_caption, style_agreement, style_lines

__all__ = ["COLORS", "agreement", "contact_sheet", "draw_comparison", "draw_instances", "place_tags"]

# Okabe and Ito's palette, told apart by colour-blind readers too; without black, which is no mark on a dark garment.
COLORS: tuple[Color, ...] = (
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
)
MIN_SIDE = 480  # pixels; smaller pictures are enlarged, so that text and boxes have room
FILL = 0.16  # opacity of a mask: the colour of the cloth stays the one to be read
CELL_WIDTH = 800  # of a contact sheet: small enough for many, large enough to read
WORDS = {
    "en": {
        "truth": "ground truth",
        "prediction": "prediction",
        "empty": "no garment",
        "missed": "not found",
        "extra": "not in the ground truth",
    },
    "ko": {"truth": "정답", "prediction": "예측", "empty": "의류 없음", "missed": "찾지 못함", "extra": "정답에 없음"},
}

Box = tuple[int, int, int, int]


def _check_image(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"expected a uint8 (H, W, 3) RGB picture, not {image.dtype} {image.shape}")
    return np.ascontiguousarray(image)


def _mask_and_outline(garment: Garment, scale: float, shape: tuple[int, int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the mask, bool (H, W), and its outlines, int32 (P, 2), both in the enlarged picture."""
    height, width = shape
    if garment.mask is not None:
        # Smooth, then cut again: a mask enlarged by repetition has stairs.
        soft = cv2.resize(garment.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        mask = soft > 0.5
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        return mask, [contour.reshape(-1, 2) for contour in contours]
    outlines = [np.round(np.asarray(polygon) * scale).astype(np.int32) for polygon in garment.polygons]
    canvas = np.zeros(shape, dtype=np.uint8)
    for outline in outlines:
        cv2.fillPoly(canvas, [outline], 1)
    return canvas.astype(bool), outlines


def place_tags(boxes: Sequence[Sequence[float]], side: int, width: int, height: int) -> list[Box]:
    """
    Find a square of `side` pixels for each box's number, inside the picture: in the first of the box's corners that no
    earlier square covers, else in the free cell of a grid that is nearest to its top left corner.

    Args:
        boxes: x0, y0, x1, y1 pixels.
        side: at most as large as the picture's shorter side.
    """

    def squares(x0: float, y0: float, x1: float, y1: float):
        yield from ((x0, y0), (x1 - side, y0), (x0, y1 - side), (x1 - side, y1 - side))
        cells = [(x, y) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
        yield from sorted(cells, key=lambda cell: (cell[0] - x0) ** 2 + (cell[1] - y0) ** 2)

    taken: list[Box] = []
    for box in boxes:
        for x, y in squares(*box):
            left, top = (int(np.clip(v, 0, limit - side)) for v, limit in ((x, width), (y, height)))
            square = (left, top, left + side, top + side)
            if all(not _overlap(square, other) for other in taken):
                break
        taken.append(square)
    return taken


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _color(number: int) -> Color:
    return COLORS[(number - 1) % len(COLORS)]


def _draw_garments(image: np.ndarray, garments: Sequence[Garment], numbers: Sequence[int]) -> tuple[Image.Image, int]:
    """Draw the picture with its garments, enlarged where it is small; and return the size of letters that suits it."""
    height, width = image.shape[:2]
    scale = max(1.0, MIN_SIDE / min(height, width))
    width, height = round(width * scale), round(height * scale)
    size = max(15, min(width, height) // 36)  # letters, lines and cards grow with the picture
    if scale > 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = image.copy()
    line = max(2, size // 9)
    # Large ones first, so that a small garment over a large one stays visible.
    area = [(g.box[2] - g.box[0]) * (g.box[3] - g.box[1]) for g in garments]
    order = sorted(range(len(garments)), key=lambda i: -area[i])
    outlines = {}
    for i in order:
        mask, outlines[i] = _mask_and_outline(garments[i], scale, (height, width))
        canvas[mask] = np.round((1 - FILL) * canvas[mask] + FILL * np.array(_color(numbers[i])))
    boxes = [tuple(round(value * scale) for value in garment.box) for garment in garments]
    for i in order:
        color = _color(numbers[i])
        x0, y0, x1, y1 = boxes[i]
        corners = (min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)), (min(x1, width) - 1, min(y1, height) - 1)
        # A dark seam on either side keeps the colours apart from a ground of the same colour.
        cv2.polylines(canvas, outlines[i], True, color, line, cv2.LINE_AA)
        for thickness, ink in ((line + 2, (30, 30, 30)), (line, color)):
            cv2.rectangle(canvas, *corners, ink, thickness)
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    side = min(round(size * 1.5), width, height)
    for tag, number in zip(place_tags(boxes, side, width, height), numbers, strict=True):
        draw_tag(draw, tag, number, _color(number), size)
    return picture, size


def _draw_side(
    image: np.ndarray,
    garments: Sequence[Garment],
    numbers: Sequence[int],
    schema: AttributeSchema,
    language: str,
    heading: str = "",
    marks: Sequence[Mapping[str, str]] | None = None,
    notes: Sequence[str] | None = None,
    caption: Sequence[Line] = (),
) -> np.ndarray:
    """Draw the picture, its cards to the right, and above both, where there are any, the heading and the caption."""
    picture, size = _draw_garments(image, garments, numbers)
    cards = [
        garment_card(garment, schema, language, number=number, color=_color(number), marks=mark, note=note)
        for garment, number, mark, note in zip(
            garments, numbers, marks or [{}] * len(garments), notes or [""] * len(garments), strict=True
        )
    ]
    panel = draw_panel(cards, picture.size, size, language, WORDS[language]["empty"])
    width, bar_height = picture.width + panel.width, 2 * size if heading else 0
    strip = draw_caption(caption, width, size, language) if caption else None
    top = bar_height + (strip.height if strip else 0)
    sheet = Image.new("RGB", (width, max(picture.height, panel.height) + top), (255, 255, 255))
    if strip:
        sheet.paste(strip, (0, bar_height))
    sheet.paste(picture, (0, top))
    sheet.paste(panel, (picture.width, top))
    if heading:
        draw = ImageDraw.Draw(sheet)
        bar = (60, 60, 60)
        draw.rectangle((0, 0, sheet.width, bar_height - 1), fill=bar)
        draw.text(
            (size // 2, bar_height / 2), heading, font=load_font(language, size), fill=readable_ink(bar), anchor="lm"
        )
    return np.asarray(sheet)


def draw_instances(
    image: np.ndarray,
    instances: Any,
    schema: AttributeSchema,
    class_names: Sequence[str],
    *,
    language: str = "en",
    threshold: float | Mapping[str, float] = 0.5,
    top_k: int = 1,
    heading: str = "",
    styles: Styles | None = None,
) -> np.ndarray:
    """
    Draw garments: box, mask and number in the picture, class and attributes on a card to its right. Pictures with a
    side below 480 pixels are enlarged.

    Args:
        image: uint8 (H, W, 3) RGB.
        instances: the model's Instances at the image's size, or a dataset dict's annotations, or :class:`Garment`.
        schema: the groups to show.
        class_names: by class id, in one of the schema's class modes; :class:`Label` for Korean names.
        language: "en" or "ko"; English where no font holds Hangul.
        threshold, top_k: see :meth:`AttributeSchema.decode`.
        heading: stands above the picture.
        styles: of the image, for a caption above the picture; see :func:`styles_from_output`.

    Returns:
        uint8 (H', W', 3) RGB, wider than the image, and higher where the cards need it.

    Raises:
        ValueError: `image` is not a picture, or there is no such language.
    """
    language = resolve_language(language)
    garments = as_garments(instances, schema, class_names, threshold=threshold, top_k=top_k)
    numbers = range(1, len(garments) + 1)
    caption = style_lines(styles or {}, schema, language)
    return _draw_side(_check_image(image), garments, numbers, schema, language, heading, caption=caption)


def agreement(truth: Garment, prediction: Garment, schema: AttributeSchema) -> dict[str, str]:
    """
    Say where a prediction agrees with the ground truth: "right", "wrong", or for a multi-label group some of whose
    labels are found, "partly". A single-label group is right by its best label.

    Returns:
        dict: group -> mark, "" -> that of the class; what the ground truth does not know is left out, and what the
        prediction is unsure of.
    """
    marks = {"": "right" if truth.label == prediction.label else "wrong"} if truth.known else {}
    for group in schema.groups:
        if group.name not in truth.attributes or group.name not in prediction.attributes:
            continue
        labels = prediction.attributes[group.name]
        if labels and labels[0][0] == UNSURE:
            continue
        said = {label for label, _ in (labels[:1] if group.is_single else labels)}
        true = {label for label, _ in truth.attributes[group.name]}
        marks[group.name] = "right" if said == true else "partly" if said & true else "wrong"
    return marks


def draw_comparison(
    image: np.ndarray,
    ground_truth: Any,
    predictions: Any,
    schema: AttributeSchema,
    class_names: Sequence[str],
    *,
    language: str = "en",
    threshold: float | Mapping[str, float] = 0.5,
    iou_threshold: float = 0.5,
    true_styles: Styles | None = None,
    predicted_styles: Styles | None = None,
) -> np.ndarray:
    """
    Draw ground truth on the left and predictions on the right. A prediction that finds a garment (greedily by score, at
    `iou_threshold`, whatever its class) has its number and colour, and its lines are marked right, partly right or
    wrong; the titles of a garment that nothing found and of a prediction that found nothing say so.

    Args:
        ground_truth, predictions: each as `instances` of :func:`draw_instances`; predictions have scores.
        true_styles, predicted_styles: each as `styles` there. Without predicted ones there is no caption.
        The others: as there.

    Returns:
        uint8 (H', W', 3) RGB.
    """
    language = resolve_language(language)
    image = _check_image(image)
    truth = as_garments(ground_truth, schema, class_names)
    predicted = as_garments(predictions, schema, class_names, threshold=threshold)
    matches = match_detections(
        np.array([g.box for g in predicted]).reshape(-1, 4),
        np.array([g.score for g in predicted], dtype=np.float64),
        np.zeros(len(predicted), dtype=np.int64),
        np.array([g.box for g in truth]).reshape(-1, 4),
        np.zeros(len(truth), dtype=np.int64),
        iou_threshold,
        class_agnostic=True,
    )
    words = WORDS[language]
    garment_by_prediction = {int(detection): i for i, detection in enumerate(matches) if detection >= 0}
    # The predictions in the order of the garments that they found, then those that found nothing.
    matched = [i for _, i in sorted((garment, i) for i, garment in garment_by_prediction.items())]
    unmatched = [i for i in range(len(predicted)) if i not in garment_by_prediction]
    numbers = [garment_by_prediction[i] + 1 for i in matched]
    numbers += range(len(truth) + 1, len(truth) + 1 + len(unmatched))
    marks = [agreement(truth[garment_by_prediction[i]], predicted[i], schema) for i in matched] + [{}] * len(unmatched)
    notes = [""] * len(matched) + [words["extra"]] * len(unmatched)
    missed = ["" if detection >= 0 else words["missed"] for detection in matches]
    true_styles, predicted_styles = true_styles or {}, predicted_styles or {}
    caption = style_lines(true_styles, schema, language, tasks=predicted_styles)
    answer = style_lines(predicted_styles, schema, language, marks=style_agreement(true_styles, predicted_styles))
    left = _draw_side(
        image, truth, range(1, len(truth) + 1), schema, language, words["truth"], notes=missed, caption=caption
    )
    ordered = [predicted[i] for i in (*matched, *unmatched)]
    right = _draw_side(image, ordered, numbers, schema, language, words["prediction"], marks, notes, answer)
    return contact_sheet([left, right], columns=2, cell_width=None, gap=8)


def contact_sheet(
    images: Sequence[np.ndarray], columns: int = 4, *, cell_width: int | None = CELL_WIDTH, gap: int = 12
) -> np.ndarray:
    """
    Set pictures in rows, each row as high as its highest picture, each column as wide as its widest.

    Args:
        images: uint8 (H, W, 3) RGB, of any sizes.
        columns: pictures in a row.
        cell_width: wider pictures are scaled down to it; None: none is.
        gap: white pixels between pictures and around all.

    Raises:
        ValueError: there are no images, or `columns` is below 1.
    """
    if not images or columns < 1:
        raise ValueError(f"a contact sheet needs pictures and columns, not {len(images)} and {columns}")
    cells = [image if cell_width is None else shrink(image, cell_width) for image in images]
    columns = min(columns, len(cells))
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    widths = [max(cell.shape[1] for cell in cells[i::columns]) for i in range(columns)]
    heights = [max(cell.shape[0] for cell in row) for row in rows]
    sheet = np.full((sum(heights) + gap * (len(rows) + 1), sum(widths) + gap * (columns + 1), 3), 255, dtype=np.uint8)
    y = gap
    for row, height in zip(rows, heights, strict=True):
        x = gap
        for cell, width in zip(row, widths, strict=False):  # the last row may be short
            sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
            x += width + gap
        y += height + gap
    return sheet


def shrink(image: np.ndarray, width: int) -> np.ndarray:
    """Return the picture at `width` pixels, if it is wider."""
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
