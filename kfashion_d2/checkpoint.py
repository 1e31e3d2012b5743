"""Checkpoints that know their vocabulary, and hold nothing but tensors and plain Python values."""

from __future__ import annotations

from . import _needs_detectron2  # noqa: F401  # isort: skip

from typing import Any

import numpy as np
from detectron2.checkpoint import DetectionCheckpointer

from .schema import AttributeSchema

__all__ = ["KFashionCheckpointer", "to_plain"]

SCHEMA_KEY = "kfashion_schema"


def to_plain(value: Any) -> Any:
    """NumPy scalars, wherever they are, as Python numbers: torch.load refuses them from version 2.6 on."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return type(value)((key, to_plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(to_plain(item) for item in value)
    return value


class KFashionCheckpointer(DetectionCheckpointer):
    """
    Detectron2's checkpointer; saves the schema of the attribute branch, and refuses a checkpoint made with another one.
    Checkpoints without a schema (the model zoo's) load as ever.
    """

    @property
    def _schema(self) -> AttributeSchema | None:
        return getattr(getattr(self.model, "roi_heads", None), "attribute_schema", None)

    def save(self, name: str, **kwargs: Any) -> None:
        schema = self._schema
        if schema is not None:
            kwargs[SCHEMA_KEY] = {
                "name": schema.name,
                "version": schema.version,
                "hash": schema.hash,
                "groups": list(schema.group_names),
            }
        super().save(name, **to_plain(kwargs))

    def _load_model(self, checkpoint: Any) -> Any:
        """
        Raises:
            ValueError: the checkpoint was made with another schema; the message gives both hashes and the remedy.
        """
        saved, schema = checkpoint.pop(SCHEMA_KEY, None), self._schema
        if saved and schema is not None and saved["hash"] != schema.hash:
            raise ValueError(
                f"the checkpoint {self._file} was made with schema {saved['hash']} "
                f"(groups {', '.join(map(str, saved['groups']))}), this config trains schema {schema.hash} "
                f"(groups {', '.join(schema.group_names)}). Set MODEL.ROI_ATTRIBUTE_HEAD.GROUPS, "
                "DATASETS.KFASHION.CLASSES and DATASETS.KFASHION.SCHEMA as they were for the checkpoint"
            )
        return super()._load_model(checkpoint)

    def _load_file(self, filename: str) -> Any:
        self._file = filename
        return super()._load_file(filename)
