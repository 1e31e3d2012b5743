"""Pictures of garments with their attributes, of predictions beside ground truth, of training curves. All lazy."""

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
        "Garment": ".garment",
        "contact_sheet": ".drawing",
        "draw_comparison": ".drawing",
        "draw_dataset": ".dataset",
        "draw_instances": ".drawing",
        "find_hangul_font": ".fonts",
        "garments_from_annotations": ".garment",
        "garments_from_instances": ".garment",
        "make_thumbnails": ".thumbnails",
        "plot_training_curve": ".curves",
        "read_training_log": ".curves",
        "resolve_language": ".fonts",
        "styles_from_output": ".style",
        "styles_from_record": ".style",
        "write_comparison_report": ".comparison_report",
        "write_data_report": ".report",
        "write_demo_page": ".page",
        "write_evaluation_report": ".evaluation_report",
    },
)
