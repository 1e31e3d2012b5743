#!/usr/bin/env python
"""
Draw images of a converted data set with their annotations, and a contact sheet of them.

    python tools/visualize_data.py datasets/kfashion/val --output output/look --num 16 --language ko
    python tools/visualize_data.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml --dataset kfashion_val \\
        --output output/look DATASETS.KFASHION.ROOT datasets/kfashion
"""

import argparse
import sys

from kfashion_d2 import data, engine, visualization
from kfashion_d2.schema import CLASS_MODES, AttributeSchema


def load_dataset(args, parser):
    if not args.config_file:
        if len(args.store) != 1:
            parser.error("give the folder of one converted split, or --config-file and --dataset")
        schema = AttributeSchema.from_file(args.schema) if args.schema else None
        return data.KFashionDataset(args.store[0], args.classes, image_root=args.image_root, schema=schema)
    engine.setup_config(args.config_file, args.store)
    from detectron2.data import DatasetCatalog

    try:
        return DatasetCatalog.get(args.dataset)
    except KeyError as error:
        known = ", ".join(name for name in DatasetCatalog.list() if name.startswith("kfashion"))
        raise ValueError(f"no dataset {args.dataset!r}; choose from {known}") from error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", metavar="FILE", help="draw a dataset that this config registers")
    parser.add_argument("--dataset", default="kfashion_val", help="its name (default: kfashion_val)")
    parser.add_argument("--classes", choices=CLASS_MODES, default="category", help="class mode, without a config")
    parser.add_argument("--image-root", metavar="DIR", help="where the images are, if they moved since conversion")
    parser.add_argument("--schema", metavar="FILE", help="the schema file that the split was converted with, if any")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--num", type=int, default=16, help="images, picked at random (default: 16)")
    parser.add_argument("--seed", type=int, default=0, help="of the picking (default: 0)")
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="of the text in the pictures")
    parser.add_argument("store", nargs="*", help="a converted split's folder; with --config-file: KEY VALUE pairs")
    args = parser.parse_intermixed_args()
    try:
        engine.setup_loggers(names=["kfashion_d2"])
        dataset = load_dataset(args, parser)
        files = visualization.draw_dataset(
            dataset,
            args.output,
            schema=dataset.schema,
            class_names=dataset.schema.thing_classes(dataset.classes),
            num=args.num,
            seed=args.seed,
            language=args.language,
            read_bytes=data.read_image_bytes,
        )
    except (ModuleNotFoundError, ValueError, OSError) as error:
        sys.exit(f"visualize_data.py: error: {error}")
    print(f"{len(files) - 1} pictures; all of them on {files[-1]}")


if __name__ == "__main__":
    main()
