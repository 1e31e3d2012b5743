"""This module draws the demo set: pictures and annotations, drawn one by one and written in the real layout."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from kfashion_d2.schema import AttributeSchema, kfashion_schema

from . import faults
from .annotation_json import build_annotation, outline_polygon, shuffle_keys
from .canvas import Canvas
from .figure import sample_pose
from .labels import Garment
from .outfit import sample_outfit
from .painting import masks_of, paint_garment, shape_of
from .scene import Person, background, finish, sample_size

logger = logging.getLogger(__name__)

MARKER = "DEMO_SET"
SPLITS = ("Training", "Validation")
UNKNOWN_STYLE = "기타"
_EMPTY_RATE, _UNKNOWN_STYLE_RATE, _SUB_STYLE_RATE = 0.01, 0.06, 0.2
_BRANDS = ("Ave29th", "Muzin", "Bellie", "Nomad", "Pinkd", "Roompacker")
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]


@dataclass(frozen=True)
class Example:
    """
    An example is one picture and its annotation.

    Attributes:
        image_id: unique over both splits.
        folder: the style's folder.
        image: uint8 (H, W, 3), RGB; None where it was not drawn.
        annotation: the JSON file's content.
        garments: the labels behind the annotation, each with its visible polygon, float (n, 2).
        planted: the faults in the annotation.
    """

    image_id: int
    folder: str
    image: np.ndarray | None
    annotation: dict[str, Any]
    garments: list[tuple[Garment, np.ndarray]]
    planted: list[str]


def draw_example(
    seed: int,
    split: int,
    index: int,
    *,
    image_size: tuple[int, int] | None = None,
    with_faults: bool = True,
    imbalance: float = 1.0,
    with_image: bool = True,
    schema: AttributeSchema | None = None,
) -> Example:
    """
    Draw picture `index` of a split. The same arguments give the same picture, whatever else is drawn; its annotation
    is the same without the picture.

    Args:
        seed: of the whole set, >= 0.
        split: 0 training, 1 validation.
        index: the picture's number in the split, >= 0.
        image_size: (height, width) in pixels; None: one of several, all near 224.
        with_faults: plant the faults of the real data.
        imbalance: see :func:`make_demo_data`.
        with_image: False: annotation only, several times as fast.
        schema: K-Fashion's own where None.
    """
    schema = schema or kfashion_schema()
    rng = np.random.default_rng([seed, split, index])
    brush = np.random.default_rng([seed, split, index, 1])  # what does not touch the annotation
    height, width = sample_size(rng) if image_size is None else image_size
    style = int(rng.integers(len(schema.styles)))
    outfit = [] if rng.random() < _EMPTY_RATE else sample_outfit(rng, imbalance)
    image = background(brush, height, width, style) if with_image else np.empty((height, width, 3), np.uint8)
    canvas = Canvas(image, sample_pose(rng, height, width))
    garments = _dress(canvas, outfit, rng, brush, with_image) if outfit else []

    unknown_style = rng.random() < _UNKNOWN_STYLE_RATE
    styles = [] if unknown_style else [schema.styles.labels[style].korean]
    if styles and rng.random() < _SUB_STYLE_RATE:
        styles.append(schema.styles.labels[int(rng.integers(len(schema.styles)))].korean)
    image_id = 100001 + 2 * index + split
    annotation = build_annotation(
        image_id=image_id,
        size=(height, width),
        file_name=_original_name(rng, split, index),
        created=_created(rng),
        styles=styles,
        garments=garments,
        schema=schema,
    )
    planted = faults.plant(annotation, schema, rng) if with_faults else []
    shuffle_keys(annotation, rng)
    folder = UNKNOWN_STYLE if unknown_style else schema.styles.labels[style].korean
    final = finish(brush, canvas.image) if with_image else None
    return Example(image_id, folder, final, annotation, garments, planted)


def _dress(
    canvas: Canvas, outfit: list[Garment], rng: np.random.Generator, brush: np.random.Generator, with_image: bool
) -> list[tuple[Garment, np.ndarray]]:
    """Draw the person in its garments, and return the garments that can be seen, each with its polygon."""
    person = Person(canvas, rng)
    shapes = [shape_of(garment, canvas.pose, rng) for garment in outfit]
    masks = [masks_of(canvas, shape) for shape in shapes]
    if with_image:
        person.draw_body()
        for garment, shape, (cloth, *_) in zip(outfit, shapes, masks, strict=True):
            paint_garment(canvas, garment, shape, cloth, brush)
        person.draw_head()
    seen = []
    above = person.head_mask()
    for garment, (_, covered, outline) in zip(reversed(outfit), reversed(masks), strict=True):
        polygon = outline_polygon(outline & ~above, rng)
        if polygon is not None:
            seen.append((garment, polygon))
        above = above | covered
    return seen[::-1]


def _created(rng: np.random.Generator) -> str:
    month, day, hour, minute = (int(rng.integers(*span)) for span in ((8, 13), (1, 29), (9, 19), (0, 60)))
    return f"2020-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:00"


def _original_name(rng: np.random.Generator, split: int, index: int) -> str:
    """
    Make a file name as in the real set: about a quarter tell the look, PREFIX_NNN_MM; names are not unique by rule.
    """
    if rng.random() < 0.25:
        brand = _BRANDS[int(rng.integers(len(_BRANDS)))]
        return f"{brand}_{2 * index + split:03d}_{rng.integers(1, 5):02d}.{'jpg' if rng.random() < 0.8 else 'JPG'}"
    return f"({rng.integers(1, 400)})IMG_{2 * index + split}.jpg"


def make_demo_data(
    output: str | Path,
    num_train: int = 1100,
    num_val: int = 300,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
    dirt: bool = True,
    annotations_only: bool = False,
    imbalance: float = 1.0,
) -> dict[str, Any]:
    """
    Write a demo set in the real K-Fashion layout: ``{Training,Validation}/라벨링데이터/<style>/<id>.json`` and
    ``{Training,Validation}/원천데이터_1/<style>/<id>.jpg``.

    Picture `index` of a split depends on the seed, the split and the index alone, so a larger set begins with the
    smaller one.

    Args:
        output: folder to write; made if needed. A demo set that is there is replaced.
        num_train, num_val: pictures of the two splits.
        seed: an integer >= 0.
        image_size: (height, width) in pixels; None: several sizes near 224.
        dirt: plant the faults of the real data (see `faults.py`).
        annotations_only: write no pictures.
        imbalance: of both splits, >= 1: how many times as common a group's first label is as its last, about; 1: all
            as even as can be. At 100 each group has labels that fewer than one garment in a hundred has.

    Returns:
        dict: "images", "annotations" and "garments", each a dict of split folder -> count; "dirt": fault -> count.

    Raises:
        ValueError: `output` holds something else than a demo set, or a number is out of range.
    """
    output = Path(output)
    if min(num_train, num_val, seed) < 0:
        raise ValueError(f"num_train={num_train}, num_val={num_val} and seed={seed} must not be negative")
    if not 1 <= imbalance < math.inf:
        raise ValueError(f"imbalance={imbalance}: it must be at least 1")
    if image_size is not None and not 64 <= min(image_size) <= max(image_size) <= 4096:
        raise ValueError(f"image_size={image_size}: height and width must be from 64 to 4096 pixels")
    _prepare(output, {"num_train": num_train, "num_val": num_val, "seed": seed, "annotations_only": annotations_only})
    schema = kfashion_schema()
    summary: dict[str, Any] = {key: dict.fromkeys(SPLITS, 0) for key in ("images", "annotations", "garments")}
    planted: Counter[str] = Counter()
    for split, (name, count) in enumerate(zip(SPLITS, (num_train, num_val), strict=True)):
        for index in tqdm(range(count), desc=name, unit="picture", disable=None):
            example = draw_example(
                seed,
                split,
                index,
                image_size=image_size,
                with_faults=dirt,
                imbalance=imbalance,
                with_image=not annotations_only,
                schema=schema,
            )
            wrote_image = _write(output / name, example)
            summary["images"][name] += wrote_image
            summary["annotations"][name] += 1
            summary["garments"][name] += len(example.garments)
            planted.update(example.planted)
    summary["dirt"] = {fault: planted[fault] for fault in ("no_tier_b", "alias", *faults.FAULTS)} if dirt else {}
    logger.info("Wrote a demo set of %d annotations to %s", num_train + num_val, output)
    return summary


def _prepare(output: Path, arguments: dict[str, Any]) -> None:
    """Clear an older demo set away and mark the folder as one, before anything else is written."""
    marker = output / MARKER
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not marker.is_file())):
        raise ValueError(f"{output} holds something else than a demo set: choose another folder or empty it yourself")
    for name in SPLITS:
        shutil.rmtree(output / name, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps(arguments) + "\n", encoding="utf-8")


def _write(folder: Path, example: Example) -> bool:
    """Write an example's files, and return whether an image was among them."""
    text = json.dumps(example.annotation, ensure_ascii=False, separators=(",", ":"))
    if "truncated" in example.planted:
        text = text[: len(text) // 2]
    path = folder / "라벨링데이터" / example.folder / f"{example.image_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if example.image is None or "no_image" in example.planted:
        return False
    _, data = cv2.imencode(".jpg", cv2.cvtColor(example.image, cv2.COLOR_RGB2BGR), _JPEG)
    path = folder / "원천데이터_1" / example.folder / f"{example.image_id}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
    return True
