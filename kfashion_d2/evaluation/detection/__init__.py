"""Detections matched to garments, and the metrics that follow from the match."""
