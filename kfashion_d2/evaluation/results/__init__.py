"""This package puts the numbers of an evaluation into a file, into tables, and beside those of other runs."""
