"""This package divides splits anew so that no photographs of one group are in two of them."""
