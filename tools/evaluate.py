#!/usr/bin/env python
"""
Evaluate a trained model, or what one has predicted: metrics.json, predictions.parquet and report.html.

    python tools/evaluate.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml --gt-boxes \\
        --output output/r50/evaluation DATASETS.KFASHION.ROOT datasets/kfashion MODEL.WEIGHTS output/r50/model_final.pth
    python tools/evaluate.py --predictions output/r50/evaluation/predictions.parquet --output output/again
"""

import argparse
import logging
import sys
from pathlib import Path

from kfashion_d2 import data, evaluation, visualization
from kfashion_d2.utils.lazy import needs_detectron2


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config-file", metavar="FILE", help="config of the model; MODEL.WEIGHTS is its checkpoint")
    source.add_argument("--predictions", metavar="FILE", help="a predictions.parquet, in place of a model")
    parser.add_argument("--output", required=True, metavar="DIR", help="gets the files")
    parser.add_argument("--dataset", metavar="NAME", help="the split (default: the first of DATASETS.TEST)")
    parser.add_argument("--gt-boxes", action="store_true", help="also read attributes from the true boxes")
    parser.add_argument("--max-images", type=int, default=0, metavar="N", help="only N images, evenly spread")
    parser.add_argument("--iou-threshold", type=float, metavar="X", help="of a match (default: the config's, or 0.5)")
    parser.add_argument(
        "--threshold", type=float, metavar="X", help="least score of a multi-label answer, of all groups"
    )
    parser.add_argument(
        "--bootstrap", type=int, default=500, metavar="N", help="replicates for confidence intervals; 0: none (500)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    parser.add_argument("--language", choices=("en", "ko"), default="en", help="of the tables (default: en)")
    parser.add_argument(
        "--suspects", type=int, default=0, metavar="N", help="list the N labels most likely wrong, for review"
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        help="the converted split, for the report's pictures (default: where the model saw it)",
    )
    parser.add_argument("--image-root", metavar="DIR", help="where its images are, if they moved since conversion")
    parser.add_argument("--schema", metavar="FILE", help="its schema file, if not K-Fashion's vocabulary")
    parser.add_argument("--no-report", action="store_true", help="leave report.html out")
    parser.add_argument("--num-gpus", type=int, default=1, help="processes on GPUs (default: 1)")
    parser.add_argument("--num-cpus", type=int, default=0, help="processes on the CPU instead")
    parser.add_argument("opts", nargs="*", help="KEY VALUE pairs over the config")
    args = parser.parse_intermixed_args()
    if args.predictions and (args.opts or args.dataset or args.max_images or args.gt_boxes):
        parser.error("--predictions: --dataset, --max-images, --gt-boxes and KEY VALUE pairs are for a model")
    if min(args.bootstrap, args.max_images, args.suspects) < 0:
        parser.error("--bootstrap, --max-images and --suspects: 0 or more")
    return args


def predict(args):
    """Run the model in this process, one of several; the main one writes predictions.parquet."""
    from kfashion_d2.engine import predict_dataset, setup_config, setup_loggers

    setup_loggers(args.output)
    try:
        cfg = setup_config(args.config_file, args.opts)
        cfg.TEST.MAX_EVAL_IMAGES = args.max_images
        if args.num_cpus:
            cfg.MODEL.DEVICE = "cpu"
        cfg.freeze()
        predictions = predict_dataset(cfg, args.dataset, gt_boxes=args.gt_boxes)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"evaluate.py: error: {error}")
    if predictions is not None:
        evaluation.write_predictions(predictions, Path(args.output, "predictions.parquet"))


def open_split(args, predictions):
    """Open the split that was predicted; None where it is not on this machine."""
    from kfashion_d2.schema import AttributeSchema

    facts = predictions.info.model
    folder = args.store or facts.get("store_dir")
    if not folder or not (args.store or Path(folder, "meta.json").is_file()):
        return None
    schema = args.schema or facts.get("schema_file")
    dataset = data.KFashionDataset(
        folder,
        predictions.info.classes or "category",
        image_root=args.image_root or facts.get("image_root"),
        schema=AttributeSchema.from_file(schema) if schema else None,
    )
    if facts.get("store_hash") not in (None, dataset.store_hash):
        raise ValueError(f"{folder} is not the split that the model saw, or was converted again since: give --store")
    return dataset


def measure(args, path):
    """Make the other files of a predictions file, and return the tables for the terminal."""
    from kfashion_d2.data.formats import export_suspects
    from kfashion_d2.evaluation.analysis.findings import find_all
    from kfashion_d2.evaluation.results.metrics_file import flat_metrics

    predictions = evaluation.read_predictions(path)
    if args.threshold is not None:
        predictions = predictions.with_info(threshold=args.threshold)
    scored = evaluation.evaluate_predictions(predictions, iou_threshold=args.iou_threshold)
    intervals = how = None
    if args.bootstrap:
        samples = evaluation.bootstrap_metrics(predictions, scored, args.bootstrap, args.seed)
        intervals = evaluation.confidence_intervals(samples, flat_metrics(scored.metrics))
        how = {"replicates": args.bootstrap, "confidence": 0.95, "seed": args.seed}
    errors = evaluation.error_summary(predictions, iou_threshold=args.iou_threshold)
    document = evaluation.metrics_document(predictions, scored, intervals, how, errors)
    evaluation.write_metrics(document, Path(args.output, "metrics.json"))
    dataset = open_split(args, predictions)
    if args.suspects:
        suspects = evaluation.find_suspects(predictions, iou_threshold=args.iou_threshold)
        export_suspects(suspects.rows(args.suspects), args.output, dataset)
    if not args.no_report:
        visualization.write_evaluation_report(
            Path(args.output, "report.html"),
            predictions,
            scored,
            document,
            find_all(predictions, scored),
            dataset=dataset,
            read_bytes=data.read_image_bytes,
            language=args.language,
        )
    return evaluation.evaluation_table(document, scored, predictions.schema, args.language)


def main():
    args = parse_args()
    logging.basicConfig(format="%(levelname)s: %(message)s")
    Path(args.output).mkdir(parents=True, exist_ok=True)
    path = args.predictions
    if path is None:
        try:
            with needs_detectron2():
                from kfashion_d2.engine.launch import launch
        except ModuleNotFoundError as error:
            sys.exit(f"evaluate.py: error: {error}")
        launch(predict, args.num_cpus or args.num_gpus, dist_url="auto", args=(args,))
        path = Path(args.output, "predictions.parquet")
    try:
        print(measure(args, path))
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate.py: error: {error}")
    print(f"\nSee {args.output}")


if __name__ == "__main__":
    main()
