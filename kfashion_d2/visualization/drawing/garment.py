"""
This module has one garment as it is drawn and reported, from a dataset dict's annotation or from the model's output.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...schema import CLASS_MODES, UNKNOWN, AttributeSchema, Label

__all__ = ["Garment", "as_garments", "garments_from_annotations", "garments_from_instances", "plain_labels"]


@dataclass(frozen=True, eq=False)
class Garment:
    """
    This is a garment as it is drawn and reported.

    Attributes:
        box: x0, y0, x1, y1 in pixels.
        label: the class; of a garment of unknown class, "unknown <part>".
        part: English name of the garment's part.
        attributes: group -> [(label, score), ...], best first; score None in ground truth; [] known to have none, or
            no label reached the threshold; UNSURE first of a single-label group that is. Groups that are unknown or do
            not apply are left out.
        score: of the class; None in ground truth.
        known: whether the class is known.
        polygons: float (P, 2) each, in pixels.
        mask: bool (H, W), or None.
    """

    box: tuple[float, float, float, float]
    label: Label
    part: str
    attributes: Mapping[str, list[tuple[Label, float | None]]]
    score: float | None = None
    known: bool = True
    polygons: Sequence[np.ndarray] = field(default=(), repr=False)
    mask: np.ndarray | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain values that JSON can hold: `bbox` [x, y, width, height], `score`, `class`, `class_korean`, `part`,
        `attributes` {group: [{"label", "korean", "score"}, ...]}. Without mask and polygons.
        """
        x0, y0, x1, y1 = self.box
        return {
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": self.score,
            "class": self.label.name,
            "class_korean": self.label.korean,
            "part": self.part,
            "attributes": {group: plain_labels(labels) for group, labels in self.attributes.items()},
        }


def plain_labels(labels: Iterable[tuple[Label, float | None]]) -> list[dict[str, Any]]:
    """Turn (label, score) pairs into plain values that JSON can hold."""
    return [{"label": label.name, "korean": label.korean, "score": score} for label, score in labels]


def _labels(class_names: Sequence[str]) -> list[Label]:
    return [name if isinstance(name, Label) else Label(name) for name in class_names]


def garments_from_annotations(
    annotations: Iterable[Mapping[str, Any]], schema: AttributeSchema, class_names: Sequence[str]
) -> list[Garment]:
    """
    Make garments of a dataset dict's annotations.

    Args:
        annotations: of a dataset dict, boxes XYWH.
        schema: of their `attributes`; its groups are the ones that come out.
        class_names: by `category_id`; :class:`Label` where the Korean names are wanted.
    """
    labels = _labels(class_names)
    garments = []
    for anno in annotations:
        part = schema.parts.labels[schema.parts.index(anno["part"])]
        class_id = anno["category_id"]
        known = class_id != UNKNOWN
        x, y, w, h = anno["bbox"]
        attributes = {}
        for group in schema.groups:
            value = anno["attributes"].get(group.name, UNKNOWN if group.is_single else [UNKNOWN])
            ids = [value] if group.is_single else value
            if UNKNOWN not in ids:
                attributes[group.name] = [(group.labels[i], None) for i in ids]
        sound = anno.get("mask_valid", True)
        garments.append(
            Garment(
                box=(float(x), float(y), float(x + w), float(y + h)),
                label=labels[class_id] if known else Label(f"unknown {part.name}", f"{part.korean} (미상)"),
                part=part.name,
                attributes=attributes,
                known=known,
                polygons=[np.reshape(p, (-1, 2)) for p in anno.get("segmentation", ())] if sound else (),
            )
        )
    return garments


def garments_from_instances(
    instances: Any,
    schema: AttributeSchema,
    class_names: Sequence[str],
    *,
    threshold: float | Mapping[str, float] = 0.5,
    top_k: int = 1,
) -> list[Garment]:
    """
    Make garments of a model's output.

    Args:
        instances: Detectron2's Instances with `pred_boxes`, `scores`, `pred_classes`, `pred_attributes` float (N, L)
            and, where the model has a mask head, `pred_masks` bool (N, H, W); `parts` int64 (N,) where they are known.
        schema: of the columns of `pred_attributes`.
        class_names: by class id, in one of the schema's class modes; :class:`Label` where Korean names are wanted.
        threshold, top_k: see :meth:`AttributeSchema.decode`.

    Raises:
        ValueError: the names are not the classes of any class mode, or `pred_attributes` has another width than L.
    """
    labels = _labels(class_names)
    if instances.has("parts"):
        part_ids = instances.parts.tolist()
    else:
        class_parts = _class_parts(schema, labels)
        part_ids = [class_parts[i] for i in instances.pred_classes.tolist()]
    masks = instances.pred_masks.cpu().numpy() if instances.has("pred_masks") else [None] * len(instances)
    garments = []
    for box, score, class_id, part_id, row, mask in zip(
        instances.pred_boxes.tensor.tolist(),
        instances.scores.tolist(),
        instances.pred_classes.tolist(),
        part_ids,
        instances.pred_attributes.cpu().numpy(),
        masks,
        strict=True,
    ):
        garments.append(
            Garment(
                box=tuple(box),
                label=labels[class_id],
                part=schema.parts.labels[part_id].name,
                attributes=schema.decode(row, threshold, top_k),
                score=score,
                mask=mask,
            )
        )
    return garments


def _class_parts(schema: AttributeSchema, labels: Sequence[Label]) -> tuple[int, ...]:
    for mode in CLASS_MODES:
        if list(schema.thing_classes(mode)) == list(labels):
            return schema.class_parts(mode)
    raise ValueError(
        f"{', '.join(labels)} are not the classes of schema {schema.name!r} in any class mode: "
        "give schema.thing_classes(mode)"
    )


def as_garments(
    items: Any,
    schema: AttributeSchema,
    class_names: Sequence[str],
    *,
    threshold: float | Mapping[str, float] = 0.5,
    top_k: int = 1,
) -> list[Garment]:
    """Take instances, annotations of a dataset dict, or garments, and return garments."""
    if hasattr(items, "pred_boxes"):
        return garments_from_instances(items, schema, class_names, threshold=threshold, top_k=top_k)
    items = list(items)
    if all(isinstance(item, Garment) for item in items):
        return items
    return garments_from_annotations(items, schema, class_names)
