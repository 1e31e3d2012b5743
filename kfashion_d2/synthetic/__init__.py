"""This package draws the demo set: people in garments, in the real K-Fashion format and layout, faults included."""

from kfashion_d2.utils.lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__name__, {"make_demo_data": ".demo"})

__all__ = ["make_demo_data"]
