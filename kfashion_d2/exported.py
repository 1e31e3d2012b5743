"""
This module runs an exported model on single images: TorchScript or ONNX, and the JSON file beside it. Detectron2 is not
needed, and for ONNX neither is torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .schema import AttributeSchema, kfashion_schema
from .visualization.drawing.garment import Garment, plain_labels

__all__ = ["FORMAT", "FORMATS", "OUTPUTS", "ExportedModel"]

FORMAT = 1
FORMATS = ("torchscript", "onnx")
OUTPUTS = ("boxes", "scores", "classes", "attributes")


class ExportedModel:
    """
    This model answers as :class:`KFashionPredictor` does, without Detectron2.

    Attributes:
        facts (dict): the JSON file's content.
        schema (AttributeSchema): the groups that it predicts.

    Examples:
    ::
        model = ExportedModel("output/export/model.onnx")
        for garment in model("person.jpg")["garments"]:
            print(garment["class"], garment["attributes"]["color"])
    """

    def __init__(
        self, path: str | Path, *, schema: AttributeSchema | None = None, top_k: int = 1, style_top_k: int = 3
    ):
        """
        Load an exported model.

        Args:
            path: ``model.onnx`` (needs the package onnxruntime) or ``model.ts``; ``model.json`` beside it.
            schema: of the model. None: K-Fashion's.
            top_k: how many labels of a single-label group.
            style_top_k: how many styles, of a model that predicts them.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: the JSON file is of another format, the model is of another schema, or of neither kind.
        """
        path = Path(path)
        facts_file = path.with_suffix(".json")
        for file in (path, facts_file):
            if not file.is_file():
                raise FileNotFoundError(
                    f"{file}: no such file; tools/export_model.py writes the model and its JSON file"
                )
        self.facts: dict[str, Any] = json.loads(facts_file.read_text("utf-8"))
        if self.facts.get("format") != FORMAT:
            raise ValueError(f"{facts_file} is of format {self.facts.get('format')!r}, not {FORMAT}: export again")
        saved, groups = self.facts["schema"], [group["name"] for group in self.facts["groups"]]
        if schema is None:
            schema = kfashion_schema().for_classes(self.facts["class_mode"])
        known = set(groups) <= set(schema.group_names)
        if not known or schema.subset(groups).hash != saved["hash"]:
            raise ValueError(
                f"{path} was exported with schema {saved['name']!r} ({saved['hash']}): "
                "give it as schema=AttributeSchema.from_file(...).for_classes(...)"
            )
        self.schema = schema.subset(groups)
        self.top_k, self.style_top_k = top_k, style_top_k
        self._labels = schema.thing_classes(self.facts["class_mode"])
        self._parts = schema.class_parts(self.facts["class_mode"])
        if path.suffix == ".onnx":
            self._run = _onnx_runner(path)
        elif path.suffix == ".ts":
            self._run = _torchscript_runner(path)
        else:
            raise ValueError(f"{path}: expected a .onnx or a .ts file")

    def __call__(self, image: np.ndarray | str | Path) -> dict[str, Any]:
        """
        Predict on an image.

        Args:
            image: uint8 (H, W, 3) BGR, or the path of a file, which is turned as its EXIF tag says.

        Returns:
            dict: `boxes` float32 (N, 4) XYXY pixels of the image, `scores` float32 (N,), `classes` int64 (N,),
            `attributes` float32 (N, L), of a model with masks `masks` float32 (N, 28, 28), the probability inside the
            box; of one with styles `style_scores` and `sub_style_scores` float32 (S,), and `style` and `sub_style`, the
            best of them as plain dicts; and `garments`, N plain dicts as :meth:`Garment.to_dict` gives them.

        Raises:
            ValueError: the array is not a picture.
            OSError: the file cannot be read.
        """
        if isinstance(image, (str, Path)):
            with Image.open(image) as file:
                image = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))[:, :, ::-1]
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"expected a uint8 (H, W, 3) BGR picture, not {image.dtype} {image.shape}")
        height, width = image.shape[:2]
        network_input = self.prepare(image)
        outputs = dict(zip(self.facts["outputs"], self._run(network_input), strict=True))
        scale = np.array([width / network_input.shape[2], height / network_input.shape[1]] * 2, dtype=np.float32)
        outputs["boxes"] = (outputs["boxes"] * scale).clip(0, np.array([width, height] * 2, dtype=np.float32))
        x0, y0, x1, y1 = outputs["boxes"].T
        kept = (x1 > x0) & (y1 > y0)
        styles = {name: outputs.pop(name) for name in list(outputs) if name.endswith("style_scores")}
        outputs = {name: values[kept] for name, values in outputs.items()}
        if "masks" in outputs:
            outputs["masks"] = outputs["masks"][:, 0]
        garments = [garment.to_dict() for garment in self._garments(outputs)]
        best = {name.removesuffix("_scores"): self._styles(scores) for name, scores in styles.items()}
        return {**outputs, **styles, **best, "garments": garments}

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """
        Turn uint8 (H, W, 3) BGR into what the graph reads: float32 (3, H', W'), resized, in the model's channel order.
        """
        rule = self.facts["input"]
        if rule["channels"] == "RGB":
            image = image[:, :, ::-1]
        height, width = network_size(*image.shape[:2], rule["shortest_edge"], rule["longest_edge"])
        resized = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(resized, dtype=np.float32).transpose(2, 0, 1))

    def _styles(self, scores: np.ndarray) -> list[dict[str, Any]]:
        best = np.argsort(-scores, kind="stable")[: self.style_top_k]
        return plain_labels((self.schema.styles.labels[i], float(scores[i])) for i in best)

    def _garments(self, outputs: dict[str, np.ndarray]) -> list[Garment]:
        thresholds = self.facts["thresholds"]
        return [
            Garment(
                box=tuple(box),
                label=self._labels[class_id],
                part=self.schema.parts.labels[self._parts[class_id]].name,
                attributes=self.schema.decode(row, thresholds, self.top_k),
                score=score,
            )
            for box, score, class_id, row in zip(
                outputs["boxes"].tolist(),
                outputs["scores"].tolist(),
                outputs["classes"].tolist(),
                outputs["attributes"],
                strict=True,
            )
        ]


def network_size(height: int, width: int, shortest: int, longest: int) -> tuple[int, int]:
    """
    Return height and width after Detectron2's ResizeShortestEdge: the shorter side at `shortest`, none above `longest`;
    but no side below 1, which is what Detectron2 makes of very long ones.
    """
    scale = shortest / min(height, width)
    new = [shortest, scale * width] if height < width else [scale * height, shortest]
    over = longest / max(new)
    return tuple(max(1, int(side * min(over, 1.0) + 0.5)) for side in new)  # type: ignore[return-value]


def _onnx_runner(path: Path):
    import onnxruntime  # an extra: pip install kfashion_d2[onnx]

    session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    return lambda image: session.run(None, {"image": image})


def _torchscript_runner(path: Path):
    import torch
    import torchvision  # noqa: F401  # registers the operators of NMS and ROIAlign

    model = torch.jit.load(str(path))

    def run(image: np.ndarray) -> list[np.ndarray]:
        # Without it the first pictures wait for an optimiser that gains nothing here.
        with torch.no_grad(), torch.jit.optimized_execution(False):
            return [output.cpu().numpy() for output in model(torch.from_numpy(image))]

    return run
