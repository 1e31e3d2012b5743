"""
This package measures attributes, boxes and styles, and has the Detectron2 evaluator around them. Names load on first
use.
"""

from ..utils.lazy import lazy_exports

__all__ = [
    "Calibration",
    "Evaluation",
    "KFashionEvaluator",
    "Predictions",
    "PredictionsInfo",
    "bootstrap_metrics",
    "compare_runs",
    "comparison_table",
    "confidence_intervals",
    "error_summary",
    "evaluate_attributes",
    "evaluate_iou_f1",
    "evaluate_predictions",
    "evaluate_styles",
    "evaluation_table",
    "find_suspects",
    "fit_calibration",
    "load_run",
    "metrics_document",
    "read_metrics",
    "read_predictions",
    "write_metrics",
    "write_predictions",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Calibration": ".calibration.core",
        "Evaluation": ".evaluate",
        "KFashionEvaluator": ".evaluator",
        "Predictions": ".predictions.core",
        "PredictionsInfo": ".predictions.core",
        "bootstrap_metrics": ".analysis.bootstrap",
        "compare_runs": ".results.comparison",
        "comparison_table": ".results.comparison_table",
        "confidence_intervals": ".analysis.bootstrap",
        "error_summary": ".analysis.errors",
        "evaluate_attributes": ".attributes.metrics",
        "evaluate_iou_f1": ".detection.iou_f1",
        "evaluate_predictions": ".evaluate",
        "evaluate_styles": ".attributes.styles",
        "evaluation_table": ".results.tables",
        "find_suspects": ".analysis.label_noise",
        "fit_calibration": ".calibration.core",
        "load_run": ".results.comparison",
        "metrics_document": ".results.metrics_file",
        "read_metrics": ".results.metrics_file",
        "read_predictions": ".predictions.file",
        "write_metrics": ".results.metrics_file",
        "write_predictions": ".predictions.file",
    },
)
