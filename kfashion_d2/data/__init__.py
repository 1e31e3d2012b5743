"""From K-Fashion files to registered datasets. Names load on first use, each with its own ring's packages."""

from .._lazy import lazy_exports

__all__ = [
    "AttributeDatasetMapper",
    "KFashionDataset",
    "Problem",
    "SkipBrokenImages",
    "coco_json_file",
    "convert_dataset",
    "import_coco",
    "load_data",
    "make_demo_data",
    "parse_annotation",
    "register_kfashion",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AttributeDatasetMapper": ".dataset_mapper",
        "KFashionDataset": ".store",
        "Problem": ".annotation",
        "SkipBrokenImages": ".dataset_mapper",
        "coco_json_file": ".register",
        "convert_dataset": ".convert",
        "import_coco": ".coco_import",
        "load_data": ".plain",
        "make_demo_data": ".synthetic",
        "parse_annotation": ".annotation",
        "register_kfashion": ".register",
    },
)
