"""The numbers of an evaluation in a file, in tables, and beside those of other runs."""
