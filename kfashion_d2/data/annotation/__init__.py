"""This package turns one annotation file into one record. It needs Python and NumPy only; names load on first use."""

from ...utils.lazy import lazy_exports

__all__ = [
    "Problem",
    "parse_annotation",
    "read_annotation",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Problem": ".parser",
        "parse_annotation": ".parser",
        "read_annotation": ".parser",
    },
)
