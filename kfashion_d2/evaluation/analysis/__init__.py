"""This package looks for why a model is wrong, where its labels may be, and how sure a metric is."""
