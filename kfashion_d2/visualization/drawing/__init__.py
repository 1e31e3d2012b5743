"""This package draws garments on their pictures, with cards that name their attributes. Names load on first use."""

from ...utils.lazy import lazy_exports

__all__ = [
    "contact_sheet",
    "draw_comparison",
    "draw_instances",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "contact_sheet": ".instances",
        "draw_comparison": ".instances",
        "draw_instances": ".instances",
    },
)
