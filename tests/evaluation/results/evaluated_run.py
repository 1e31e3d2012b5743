"""An evaluated run, as the comparison reads it from a folder."""

from kfashion_d2.evaluation import bootstrap_metrics, confidence_intervals, evaluate_predictions, metrics_document
from kfashion_d2.evaluation.results.comparison import Run
from kfashion_d2.evaluation.results.metrics_file import flat_metrics

ACCURACY = "attributes_gt_boxes/mean/accuracy"


def make_run(name, predictions, replicates=0, keep=True):
    """Evaluate predictions as tools/evaluate.py does, with confidence intervals where replicates are asked for."""
    evaluation = evaluate_predictions(predictions, coco=False)
    intervals = None
    if replicates:
        samples = bootstrap_metrics(predictions, evaluation, replicates)
        intervals = confidence_intervals(samples, flat_metrics(evaluation.metrics))
    document = metrics_document(predictions, evaluation, intervals)
    return Run(name, None, document, predictions if keep else None)
