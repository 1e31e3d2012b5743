"""
This package makes pictures of garments with their attributes, of predictions beside ground truth, and reports. Names
load on first use.
"""

from ..utils.lazy import lazy_exports

__all__ = [
    "Garment",
    "contact_sheet",
    "draw_comparison",
    "draw_dataset",
    "draw_instances",
    "find_hangul_font",
    "garments_from_annotations",
    "garments_from_instances",
    "make_thumbnails",
    "plot_training_curve",
    "read_training_log",
    "resolve_language",
    "styles_from_output",
    "styles_from_record",
    "write_comparison_report",
    "write_data_report",
    "write_demo_page",
    "write_evaluation_report",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Garment": ".drawing.garment",
        "contact_sheet": ".drawing.instances",
        "draw_comparison": ".drawing.instances",
        "draw_dataset": ".drawing.dataset",
        "draw_instances": ".drawing.instances",
        "find_hangul_font": ".drawing.fonts",
        "garments_from_annotations": ".drawing.garment",
        "garments_from_instances": ".drawing.garment",
        "make_thumbnails": ".drawing.thumbnails",
        "plot_training_curve": ".reports.curves",
        "read_training_log": ".reports.curves",
        "resolve_language": ".drawing.fonts",
        "styles_from_output": ".drawing.style",
        "styles_from_record": ".drawing.style",
        "write_comparison_report": ".reports.comparison_report",
        "write_data_report": ".reports.data_report",
        "write_demo_page": ".reports.demo_page",
        "write_evaluation_report": ".reports.evaluation_report",
    },
)
