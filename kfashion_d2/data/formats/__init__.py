"""
This package writes a converted split in the formats of others, one file a format, and lists labels to review. Names
load on first use.
"""

from ...utils.lazy import lazy_exports

FORMATS = ("coco", "fashionpedia", "yolo", "parquet", "fiftyone")

__all__ = [
    "FORMATS",
    "export_coco",
    "export_fashionpedia",
    "export_fiftyone",
    "export_parquet",
    "export_suspects",
    "export_yolo",
]

__getattr__, __dir__ = lazy_exports(__name__, {f"export_{name}": f".{name}" for name in (*FORMATS, "suspects")})
