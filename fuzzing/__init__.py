"""Broken input on purpose: bytes become annotations, archives and folders, and every promise is checked."""
