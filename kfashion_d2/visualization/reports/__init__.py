"""This package writes self-contained HTML pages; it has their templates and plots."""
