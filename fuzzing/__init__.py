"""This package makes broken input on purpose: annotations, archives and folders of bytes, to check every promise."""
