"""This package counts over converted splits: labels, splits, problems, pairs of labels. Names load on first use."""

from ...utils.lazy import lazy_exports

__all__ = [
    "analyze_splits",
    "image_labels",
    "label_counts",
    "open_splits",
    "style_counts",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "analyze_splits": ".analysis",
        "image_labels": ".label_statistics",
        "label_counts": ".label_statistics",
        "open_splits": ".analysis",
        "style_counts": ".label_statistics",
    },
)
