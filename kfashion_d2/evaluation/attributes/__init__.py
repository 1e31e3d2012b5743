"""This package measures attribute labels and styles."""
