"""
This module writes a trained model as TorchScript and ONNX, with its vocabulary and thresholds in a JSON file beside it.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.detection_utils import read_image
from detectron2.export import TracingAdapter
from torch import Tensor, nn

from . import __version__
from .exported import FORMAT, FORMATS, OUTPUTS, ExportedModel
from .predictor import KFashionPredictor
from .utils.files import write_file

__all__ = ["FORMATS", "ExportRun", "export_model"]

logger = logging.getLogger(__name__)

SUFFIXES = {"torchscript": ".ts", "onnx": ".onnx"}
OPSET = 16  # the first whose RoiAlign knows half pixels: with an earlier one every box is a little off, in silence
TOLERANCE = {"boxes": 0.05}  # pixels; 0.003 of all else. What is wrong is off by far more
CROPS = ((0.5, 0.875), (0.63, 0.77))  # shares of height and width: sizes that no layer's stride divides, too


class ExportRun(NamedTuple):
    """
    This is what an export wrote, and how near it comes to the model.

    Attributes:
        files: what was written, the JSON file last.
        differences: format -> the largest difference to the model itself, over all outputs and pictures; None where the
            package to run it is not installed.
        garments: how many garments the pictures of that comparison had.
    """

    files: list[Path]
    differences: dict[str, float | None]
    garments: int


def infer(model: nn.Module, inputs: list[dict[str, Tensor]]) -> tuple[Tensor, ...]:
    """
    Predict one picture's garments in its own pixels, in the order of OUTPUTS; any masks; any styles. This function is
    what is traced.
    """
    styles: dict[str, Tensor] = {}
    if hasattr(model, "inference_with_style"):
        (instances,), (styles,) = model.inference_with_style(inputs)
    else:
        (instances,) = model.inference(inputs, do_postprocess=False)
    masks = [instances.pred_masks] if instances.has("pred_masks") else []
    garments = (instances.pred_boxes.tensor, instances.scores, instances.pred_classes, instances.pred_attributes)
    return (*garments, *masks, *styles.values())


@contextmanager
def _quiet() -> Iterator[None]:
    """
    Hide what tracing warns of, each Python number in Detectron2's code; whether one mattered is measured afterwards.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def export_model(
    cfg: CfgNode,
    output: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    images: Sequence[str | Path] = (),
) -> ExportRun:
    """
    Write ``model.ts`` and ``model.onnx``, which take one picture of any size as `image` float32 (3, H, W), 0 to 255 and
    already resized, and ``model.json``, which says all that is to know: the input, the outputs, classes and labels in
    both languages, thresholds. A calibration's temperatures are inside the graph. :class:`ExportedModel` runs them.
    Each is compared with the model itself on pictures of three sizes.

    Args:
        cfg: as of :class:`KFashionPredictor`; ``SCORE_THRESH_TEST`` becomes a part of the graph.
        output: a folder; made where it is not there.
        formats: of FORMATS.
        images: pictures to trace and to compare with, best with garments that the model finds. None: noise.

    Raises:
        FileNotFoundError, ValueError: as :class:`KFashionPredictor`; or there is no such format.
        RuntimeError: what was written differs from the model.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"no export format {', '.join(unknown) or 'given'}; choose from {', '.join(FORMATS)}")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"  # a trace keeps the device that it saw
    predictor = KFashionPredictor(cfg, score_threshold=None)
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    facts_file = output / "model.json"
    by_garment = [*OUTPUTS, "masks"] if cfg.MODEL.MASK_ON else list(OUTPUTS)
    tasks = getattr(getattr(predictor.model, "style_head", None), "tasks", ())
    names = [*by_garment, *(f"{task}_scores" for task in tasks)]
    facts = _facts(cfg, predictor, names)
    write_file(facts_file, (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())

    pictures = [read_image(str(image), format="BGR") for image in images] or [_noise(240, 180)]
    height, width = pictures[0].shape[:2]
    # Other sizes, so that nothing of the first can have stayed in the graph; one of them lies across.
    pictures += [pictures[0][: max(1, int(height * y)), : max(1, int(width * x))] for y, x in CROPS]
    example = _network_input(predictor, pictures[0])
    adapter = TracingAdapter(predictor.model, [{"image": example}], infer).eval()
    files = []
    for name in formats:
        path = output / f"model{SUFFIXES[name]}"
        with _quiet(), torch.no_grad():
            if name == "torchscript":
                torch.jit.trace(adapter, (example,), check_trace=False).save(str(path))
            else:
                torch.onnx.export(
                    adapter,
                    (example,),
                    str(path),
                    dynamo=False,
                    opset_version=OPSET,
                    input_names=["image"],
                    output_names=names,
                    dynamic_axes={"image": {1: "height", 2: "width"}, **{key: {0: "garments"} for key in by_garment}},
                )
        files.append(path)
    differences: dict[str, float | None] = {}
    garments = sum(len(predictor(picture)["garments"]) for picture in pictures)
    for name, path in zip(formats, files, strict=True):
        if name == "onnx" and importlib.util.find_spec("onnxruntime") is None:
            logger.warning("onnxruntime is not installed: model.onnx was not compared with the model")
            differences[name] = None
            continue
        differences[name] = _difference(predictor, path, pictures, names)
    if not garments:
        logger.warning("the model found no garment in the pictures to compare on: give some with images=")
    return ExportRun([*files, facts_file], differences, garments)


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _network_input(predictor: KFashionPredictor, picture: np.ndarray) -> Tensor:
    picture = picture[:, :, ::-1] if predictor.input_format == "RGB" else picture
    picture = predictor.augmentation.get_transform(picture).apply_image(picture)
    return torch.as_tensor(np.ascontiguousarray(picture.astype(np.float32).transpose(2, 0, 1)))


def _difference(predictor: KFashionPredictor, path: Path, pictures: Sequence[np.ndarray], names: list[str]) -> float:
    exported = ExportedModel(path, schema=predictor.schema)
    largest = 0.0
    for picture in pictures:
        network_input = _network_input(predictor, picture)
        with torch.no_grad():
            expected = [x.numpy() for x in infer(predictor.model, [{"image": network_input}])]
        outputs = exported._run(exported.prepare(picture))
        for name, x, y in zip(names, expected, outputs, strict=True):
            if x.shape != y.shape:
                raise RuntimeError(
                    f"{path}: {name} has shape {y.shape}, the model's {x.shape}. If it is one garment whose score is "
                    "that of the threshold, another picture or threshold will tell"
                )
            difference = float(np.abs(x.astype(np.float64) - y).max()) if x.size else 0.0
            if not difference <= TOLERANCE.get(name, 0.003):
                raise RuntimeError(f"{path}: {name} differs from the model's by {difference:.2g}")
            largest = max(largest, difference)
    return largest


def _facts(cfg: CfgNode, predictor: KFashionPredictor, names: list[str]) -> dict[str, Any]:
    schema, threshold = predictor.schema, predictor.attribute_threshold
    mode = cfg.DATASETS.KFASHION.CLASSES
    parts = [schema.parts.labels[part] for part in schema.class_parts(mode)]
    if not isinstance(threshold, float):
        threshold = {name: float(value) for name, value in threshold.items()}
    else:
        threshold = {group.name: 0.0 if group.is_single else threshold for group in schema.groups}
    return {
        "format": FORMAT,
        "kfashion_d2": __version__,
        "input": {
            "name": "image",
            "dtype": "float32",
            "shape": [3, "height", "width"],
            "channels": cfg.INPUT.FORMAT,
            "range": [0, 255],
            "shortest_edge": cfg.INPUT.MIN_SIZE_TEST,
            "longest_edge": cfg.INPUT.MAX_SIZE_TEST,
            "interpolation": "bilinear (Pillow), on 8 bits",
        },
        "outputs": names,
        "boxes": "x0, y0, x1, y1 in the pixels of the resized image",
        "score_threshold": cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
        "class_mode": mode,
        "classes": [
            {"name": label.name, "korean": label.korean, "part": part.name}
            for label, part in zip(predictor.class_names, parts, strict=True)
        ],
        "schema": {"name": schema.name, "version": schema.version, "hash": schema.hash},
        "groups": [
            {
                "name": group.name,
                "korean": group.korean,
                "kind": group.kind,
                "columns": [schema.slice(group.name).start, schema.slice(group.name).stop],
                "parts": list(group.parts),
                "labels": [{"name": label.name, "korean": label.korean} for label in group.labels],
            }
            for group in schema.groups
        ],
        "thresholds": threshold,
        "styles": [{"name": label.name, "korean": label.korean} for label in schema.styles.labels],
        # Its temperatures are in the graph already.
        "calibration": None if predictor.calibration is None else predictor.calibration.to_dict(),
    }
