"""
This package brings K-Fashion to Detectron2: annotations in, a trained, evaluated and drawn Attribute R-CNN out.

Importing this package loads neither torch nor Detectron2, reads no file and registers nothing: each name below is
loaded on first use.
"""

from __future__ import annotations

from kfashion_d2.utils.lazy import lazy_exports

__version__ = "0.1.0"

__all__ = [
    "AttributeSchema",
    "KFashionPredictor",
    "Trainer",
    "add_kfashion_config",
    "kfashion_schema",
    "register_kfashion",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AttributeSchema": ".schema",
        "KFashionPredictor": ".predictor",
        "Trainer": ".engine",
        "add_kfashion_config": ".config",
        "kfashion_schema": ".schema",
        "register_kfashion": ".data.register",
    },
)
