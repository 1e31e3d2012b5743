"""This package searches folders and archives for annotations and images, and reads them."""
