"""This package matches detections to garments, and computes the metrics that follow from the match."""
