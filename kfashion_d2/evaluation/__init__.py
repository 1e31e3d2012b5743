"""Metrics of attributes, and the Detectron2 evaluator around them. Names load on first use."""

from .._lazy import lazy_exports

__all__ = [
    "BANDS",
    "AttributeEvaluator",
    "KFashionCOCOEvaluator",
    "attribute_table",
    "average_precision",
    "band_means",
    "box_iou",
    "evaluate_attributes",
    "label_bands",
    "match_detections",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BANDS": ".label_frequency",
        "AttributeEvaluator": ".attribute_evaluator",
        "KFashionCOCOEvaluator": ".coco_evaluator",
        "attribute_table": ".attribute_metrics",
        "average_precision": ".attribute_metrics",
        "band_means": ".label_frequency",
        "box_iou": ".matching",
        "evaluate_attributes": ".attribute_metrics",
        "label_bands": ".label_frequency",
        "match_detections": ".matching",
    },
)
