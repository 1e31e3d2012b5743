"""Splits are divided anew so that no photograph of one group is in two of them."""
