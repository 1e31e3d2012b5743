"""Folders and archives are searched for annotations and images, and read."""
