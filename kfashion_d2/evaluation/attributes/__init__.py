"""Metrics of attribute labels and of styles."""
