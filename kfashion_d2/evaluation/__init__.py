"""Metrics of attributes, and the Detectron2 evaluator around them. Names load on first use."""

from .._lazy import lazy_exports

__all__ = [
    "AttributeEvaluator",
    "KFashionCOCOEvaluator",
    "attribute_table",
    "average_precision",
    "box_iou",
    "evaluate_attributes",
    "match_detections",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AttributeEvaluator": ".attribute_evaluator",
        "KFashionCOCOEvaluator": ".coco_evaluator",
        "attribute_table": ".attribute_metrics",
        "average_precision": ".attribute_metrics",
        "box_iou": ".matching",
        "evaluate_attributes": ".attribute_metrics",
        "match_detections": ".matching",
    },
)
