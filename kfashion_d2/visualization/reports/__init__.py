"""Self-contained HTML pages, their templates and their plots."""
