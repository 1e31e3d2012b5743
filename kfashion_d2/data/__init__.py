"""
This package turns K-Fashion files into registered datasets. Names load on first use, each with its own ring's packages.
"""

from ..utils.lazy import lazy_exports

__all__ = [
    "AttributeDatasetMapper",
    "AttributeRepeatFactorSampler",
    "KFashionDataset",
    "Problem",
    "SkipBrokenImages",
    "analyze_splits",
    "coco_json_file",
    "convert_dataset",
    "image_labels",
    "import_coco",
    "label_counts",
    "load_data",
    "make_demo_data",
    "open_splits",
    "parse_annotation",
    "pick_garments",
    "read_image_bytes",
    "register_kfashion",
    "repeat_factors",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AttributeDatasetMapper": ".dataset_mapper",
        "AttributeRepeatFactorSampler": ".sampling",
        "KFashionDataset": ".store.dataset",
        "Problem": ".annotation.parser",
        "SkipBrokenImages": ".dataset_mapper",
        "analyze_splits": ".statistics.analysis",
        "coco_json_file": ".register",
        "convert_dataset": ".conversion.convert",
        "image_labels": ".statistics.label_statistics",
        "import_coco": ".formats.coco_import",
        "label_counts": ".statistics.label_statistics",
        "load_data": ".torch_dataset",
        "make_demo_data": "..synthetic",
        "open_splits": ".statistics.analysis",
        "parse_annotation": ".annotation.parser",
        "pick_garments": ".statistics.label_columns",
        "read_image_bytes": ".store.zip_reader",
        "register_kfashion": ".register",
        "repeat_factors": ".sampling",
    },
)
