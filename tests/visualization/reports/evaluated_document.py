"""An evaluation and its document, which the tests of pages share."""

from kfashion_d2.evaluation import (
    bootstrap_metrics,
    confidence_intervals,
    error_summary,
    evaluate_predictions,
    metrics_document,
)
from kfashion_d2.evaluation.results.metrics_file import flat_metrics


def document_of(predictions, replicates=0, errors=True):
    evaluation = evaluate_predictions(predictions)
    intervals = how = None
    if replicates:
        samples = bootstrap_metrics(predictions, evaluation, replicates)
        intervals = confidence_intervals(samples, flat_metrics(evaluation.metrics))
        how = {"replicates": replicates, "confidence": 0.95, "seed": 0}
    summary = error_summary(predictions) if errors else None
    return evaluation, metrics_document(predictions, evaluation, intervals, how, summary)
