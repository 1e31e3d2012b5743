"""From K-Fashion files to registered datasets. Names load on first use, each with its own ring's packages."""

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
        "KFashionDataset": ".store",
        "Problem": ".annotation",
        "SkipBrokenImages": ".dataset_mapper",
        "analyze_splits": ".analysis",
        "coco_json_file": ".register",
        "convert_dataset": ".convert",
        "image_labels": ".statistics",
        "import_coco": ".coco_import",
        "label_counts": ".statistics",
        "load_data": ".plain",
        "make_demo_data": "..synthetic",
        "open_splits": ".analysis",
        "parse_annotation": ".annotation",
        "pick_garments": ".label_columns",
        "read_image_bytes": ".plain",
        "register_kfashion": ".register",
        "repeat_factors": ".sampling",
    },
)
