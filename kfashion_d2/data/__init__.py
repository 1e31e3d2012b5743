"""From K-Fashion files to registered datasets. Names load on first use, each with its own ring's packages."""

from .._lazy import lazy_exports

__all__ = [
    "AttributeDatasetMapper",
    "AttributeRepeatFactorSampler",
    "KFashionDataset",
    "Problem",
    "SkipBrokenImages",
    "coco_json_file",
    "convert_dataset",
    "image_labels",
    "import_coco",
    "label_counts",
    "load_data",
    "make_demo_data",
    "parse_annotation",
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
        "coco_json_file": ".register",
        "convert_dataset": ".convert",
        "image_labels": ".statistics",
        "import_coco": ".coco_import",
        "label_counts": ".statistics",
        "load_data": ".plain",
        "make_demo_data": ".synthetic",
        "parse_annotation": ".annotation",
        "register_kfashion": ".register",
        "repeat_factors": ".sampling",
    },
)
