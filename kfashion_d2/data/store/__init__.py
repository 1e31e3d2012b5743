"""
This package has a split on the disk: its columns, who writes it, and the data set that reads it. Names load on first
use.
"""

from ...utils.lazy import lazy_exports

__all__ = [
    "KFashionDataset",
    "StoreShard",
    "read_image_bytes",
    "register_zip_handler",
    "write_split",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "KFashionDataset": ".dataset",
        "StoreShard": ".shard",
        "read_image_bytes": ".zip_reader",
        "register_zip_handler": ".zip_handler",
        "write_split": ".writer",
    },
)
