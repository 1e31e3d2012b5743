"""This module predicts: image in, garments out; it has the predictor, and a run of it over files."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.data.detection_utils import read_image
from detectron2.modeling import build_model
from PIL import Image
from tqdm import tqdm

from .checkpoint import KFashionCheckpointer, find_weights
from .config import use_available_device
from .modeling.config_checks import check_attribute_branch, check_compiled_operators
from .modeling.num_classes import check_num_classes
from .schema import AttributeSchema, Label
from .utils.files import write_file
from .visualization.drawing.dataset import save_picture
from .visualization.drawing.fonts import resolve_language
from .visualization.drawing.garment import garments_from_instances, plain_labels
from .visualization.drawing.instances import draw_instances
from .visualization.drawing.style import styles_from_output

__all__ = ["IMAGE_SUFFIXES", "KFashionPredictor", "PredictionRun", "find_images", "predict_files"]

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class ResizeToVisible(T.ResizeShortestEdge):
    """This is Detectron2's resize, which gives very long pictures no side of 0 pixels."""

    def get_transform(self, image: np.ndarray) -> T.Transform:
        height, width = image.shape[:2]
        sides = self.get_output_shape(height, width, self.short_edge_length[0], self.max_size)
        return T.ResizeTransform(height, width, *(max(1, side) for side in sides), interp=self.interp)


class KFashionPredictor:
    """
    This is a trained model for single images, as Detectron2's DefaultPredictor, with attributes by name. The config is
    copied.

    Attributes:
        model: in evaluation mode.
        schema (AttributeSchema): the groups that it predicts.
        class_names (tuple[Label]): by class id.
        calibration (Calibration | None): of the checkpoint; `pred_attributes` have passed it.
        attribute_threshold: see below, with the calibration's in the place of None.

    Examples:
    ::
        cfg.MODEL.WEIGHTS = "output/model_final.pth"
        predictor = KFashionPredictor(cfg)
        for garment in predictor("person.jpg")["garments"]:
            x, y, width, height = garment["bbox"]  # pixels of the picture; x and y are the upper left corner
            print(garment["class"], garment["attributes"]["color"])
    """

    def __init__(
        self,
        cfg: CfgNode,
        *,
        score_threshold: float | None = 0.5,
        attribute_threshold: float | Mapping[str, float] | None = None,
        top_k: int = 1,
        style_top_k: int = 3,
    ):
        """
        Load a trained model.

        Args:
            cfg: of the trained model; ``MODEL.WEIGHTS`` is its checkpoint.
            score_threshold: the least score of a garment; None: ``MODEL.ROI_HEADS.SCORE_THRESH_TEST``, which is low
                for the sake of evaluations.
            attribute_threshold: the least score of a multi-label group's label; one number, or one for each group, of
                which a single-label group's is the least score of an answer that is not "unsure". None: those of the
                checkpoint's calibration (tools/calibrate.py); 0.5 where it has none.
            top_k: how many labels of a single-label group.
            style_top_k: how many styles, of a model that predicts them.

        Raises:
            FileNotFoundError: there are no weights there.
            ValueError: no weights are named, they were made with another schema, NUM_CLASSES disagrees with
                ``DATASETS.KFASHION.CLASSES``, the model has no attribute branch or the checkpoint lacks layers of it, a
                threshold is not within 0 and 1, or `top_k` or `style_top_k` is below 1.
        """
        for name, number in (("top_k", top_k), ("style_top_k", style_top_k)):
            if number < 1:
                raise ValueError(f"{name}={number}: ask for at least one label")
        cfg = cfg.clone()
        cfg.defrost()
        if score_threshold is not None:
            cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = score_threshold
        check_thresholds(cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST, attribute_threshold)
        use_available_device(cfg)
        check_num_classes(cfg)
        check_attribute_branch(cfg)
        check_compiled_operators(cfg)
        weights = find_weights(cfg)
        self.schema = AttributeSchema.from_config(cfg)
        self.class_names = self.schema.thing_classes(cfg.DATASETS.KFASHION.CLASSES)
        self.top_k = top_k
        self.style_top_k = style_top_k
        self.input_format = cfg.INPUT.FORMAT
        self.augmentation = ResizeToVisible([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
        self.model = build_model(cfg).eval()
        KFashionCheckpointer(self.model).load(weights)
        self.calibration = getattr(getattr(self.model.roi_heads, "attribute_head", None), "calibration", None)
        if attribute_threshold is None:
            attribute_threshold = 0.5 if self.calibration is None else self.calibration.thresholds
        self.attribute_threshold = attribute_threshold

    @torch.no_grad()
    def __call__(self, image: np.ndarray | str | Path) -> dict[str, Any]:
        """
        Predict on an image.

        Args:
            image: uint8 (H, W, 3) BGR, or the path of a file, which is turned as its EXIF tag says.

        Returns:
            dict:
                "instances": Instances on the CPU, at the image's size, best first, with `pred_boxes`, `scores`,
                `pred_classes`, `pred_attributes` float (N, L), and `pred_masks` bool (N, H, W) of a model with masks;
                "garments": the same as N plain dicts, see :meth:`Garment.to_dict`;
                and of a model that predicts styles (:class:`AttributeRCNN`) "style_scores", float (S,) on the CPU, and
                "style", the `style_top_k` best as plain dicts of "label", "korean" and "score"; likewise
                "sub_style_scores" and "sub_style".

        Raises:
            ValueError: the array is not a picture.
            OSError: the file cannot be read.
        """
        if isinstance(image, (str, Path)):
            image = read_image(str(image), format="BGR")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"expected a uint8 (H, W, 3) BGR picture, not {image.dtype} {image.shape}")
        height, width = image.shape[:2]
        picture = image[:, :, ::-1] if self.input_format == "RGB" else image
        picture = self.augmentation.get_transform(picture).apply_image(picture)
        tensor = torch.as_tensor(np.ascontiguousarray(picture.astype(np.float32).transpose(2, 0, 1)))
        output = self.model([{"image": tensor, "height": height, "width": width}])[0]
        instances = output["instances"].to("cpu")
        for name, value in instances.get_fields().items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                instances.set(name, value.float())  # under autocast they are bfloat16, which NumPy does not know
        garments = garments_from_instances(
            instances, self.schema, self.class_names, threshold=self.attribute_threshold, top_k=self.top_k
        )
        scores = {name: value.float().cpu() for name, value in output.items() if name != "instances"}
        return {
            "instances": instances,
            "garments": [garment.to_dict() for garment in garments],
            **scores,
            **{name: plain_labels(labels) for name, labels in self.styles(scores).items()},
        }

    def styles(self, result: Mapping[str, Any]) -> dict[str, list[tuple[Label, float]]]:
        """
        Return the styles of a result as labels, as :func:`draw_instances` takes them; empty where none are predicted.
        """
        return styles_from_output(result, self.schema, self.style_top_k)


def check_thresholds(score: float, attributes: float | Mapping[str, float] | None = None) -> None:
    """
    Refuse least scores that are not within 0 and 1.

    Raises:
        ValueError: the message has the value.
    """
    by_group = attributes if isinstance(attributes, Mapping) else {} if attributes is None else {"": attributes}
    named = {"of a garment": score, **{f"of an attribute {name}".rstrip(): value for name, value in by_group.items()}}
    for name, value in named.items():
        if not 0 <= value <= 1:
            raise ValueError(f"the least score {name} is {value:g}: give one from 0 to 1, as 0.5 for 50 percent")


class PredictionRun(NamedTuple):
    """
    This is what a run over files gave.

    Attributes:
        predictions: an entry for each image that could be predicted on, as in ``predictions.json``.
        broken: the files that could not, or that the model cannot take.
    """

    predictions: list[dict[str, Any]]
    broken: list[Path]


def find_images(inputs: Iterable[str | Path]) -> list[Path]:
    """
    List the images that files, folders and patterns name.

    Args:
        inputs: files, folders (all images in and below them) and glob patterns.

    Returns:
        list[Path]: each file once, in the order of `inputs`, sorted within a folder or a pattern.

    Raises:
        FileNotFoundError: an input leads to no file.
    """
    files: dict[Path, None] = {}
    for entry in inputs:
        path = Path(entry)
        if path.is_dir():
            paths = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES]
        elif path.is_file():
            paths = [path]
        else:
            paths = [Path(name) for name in sorted(glob(str(entry), recursive=True)) if Path(name).is_file()]
        if not paths:
            what = f"no image in it ({', '.join(IMAGE_SUFFIXES)})" if path.is_dir() else "no such file or folder"
            raise FileNotFoundError(f"{entry}: {what}")
        files.update(dict.fromkeys(paths))
    return list(files)


def _free_name(file: Path, taken: set[str]) -> str:
    """
    Return a name for the picture of a file: its stem; with a number behind it where another file has the same stem.
    """
    suffix = ".png" if file.suffix.lower() == ".png" else ".jpg"
    name, number = file.stem, 1
    while f"{name}{suffix}".casefold() in taken:
        number += 1
        name = f"{file.stem}-{number}"
    taken.add(f"{name}{suffix}".casefold())
    return name + suffix


def predict_files(
    predictor: KFashionPredictor, files: Sequence[str | Path], output: str | Path, *, language: str = "en"
) -> PredictionRun:
    """
    Predict on image files: a picture of each (its stem, ``.png`` for PNG files, else ``.jpg``), and
    ``predictions.json``, a list of ``{"file_name", "picture", "height", "width", "garments"}``, boxes in the pixels of
    the file, with "style" and "sub_style" of a model that predicts them. A file that cannot be read, or that the model
    cannot take, is reported and left out.

    Args:
        output: a folder; made where it is not there.
        language: of the pictures, "en" or "ko"; the JSON file has both.

    Raises:
        ValueError: a picture would overwrite an input, or there is no such language.
    """
    language = resolve_language(language)
    output = Path(output)
    files = [Path(file) for file in files]
    taken = {"predictions.json"}
    targets = [output / _free_name(file, taken) for file in files]
    inputs = {file.resolve() for file in files}
    overwritten = next((target for target in targets if target.resolve() in inputs), None)
    if overwritten is not None:
        raise ValueError(f"the picture {overwritten} would overwrite an input: choose another output folder")
    output.mkdir(parents=True, exist_ok=True)
    predictions: list[dict[str, Any]] = []
    broken: list[Path] = []
    try:
        for file, target in zip(tqdm(files, desc="predict", unit="image"), targets, strict=True):
            entry = _predict_file(predictor, file, target, language)
            if entry is None:
                broken.append(file)
            else:
                predictions.append(entry)
    finally:  # at Ctrl-C what was predicted so far is kept
        write_predictions(predictions, output / "predictions.json")
    return PredictionRun(predictions, broken)


def _predict_file(predictor: KFashionPredictor, file: Path, target: Path, language: str) -> dict[str, Any] | None:
    """Predict on a file, draw it, and return its entry of ``predictions.json``; None where that cannot be."""
    try:
        image = read_image(str(file), format="BGR")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        logger.error("left out %s, which cannot be read: %s", file, error)
        return None
    height, width = image.shape[:2]
    try:
        result = predictor(image)
        picture = draw_instances(
            image[:, :, ::-1],
            result["instances"],
            predictor.schema,
            predictor.class_names,
            language=language,
            threshold=predictor.attribute_threshold,
            top_k=predictor.top_k,
            styles=predictor.styles(result),
        )
        save_picture(picture, target)
    except (ValueError, RuntimeError) as error:  # of a shape or size that the model or the memory does not take
        logger.error("left out %s (%d x %d pixels): %s", file, width, height, " ".join(str(error).split()))
        return None
    entry: dict[str, Any] = {"file_name": str(file), "picture": target.name, "height": height, "width": width}
    entry.update((name, result[name]) for name in ("style", "sub_style", "garments") if name in result)
    return entry


def write_predictions(predictions: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write ``predictions.json`` as a whole."""
    text = json.dumps(list(predictions), ensure_ascii=False, indent=1, allow_nan=False)
    write_file(path, f"{text}\n".encode())
