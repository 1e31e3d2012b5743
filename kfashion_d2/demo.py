"""This module goes the whole path on a drawn data set, on a laptop: draw, convert, register, train, evaluate, show."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import read_image
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger

from .config import get_config_file
from .data import convert_dataset, make_demo_data
from .engine import Trainer, setup_config
from .evaluation import write_metrics
from .predictor import KFashionPredictor
from .visualization import draw_comparison, plot_training_curve, styles_from_record, write_demo_page
from .visualization.reports.words import words

__all__ = ["run_demo"]

logger = logging.getLogger(__name__)

CONFIG = "quick/attribute_rcnn_tiny.yaml"


def run_demo(
    output: str | Path,
    *,
    num_train: int = 1100,
    num_val: int = 300,
    num_pictures: int = 16,
    seed: int = 0,
    workers: int = 2,
    opts: Sequence[str] = (),
) -> dict[str, Any]:
    """
    Make a demo set, convert it, train the tiny Attribute R-CNN with the four parts as classes, evaluate and draw.

    Args:
        output: folder; gets `data/`, `store/`, `train/`, `metrics.json`, `training_curve.png`, `pictures/` and
            `index.html`, a page with all of it. What an earlier demo left there is replaced.
        num_train, num_val: images of the two splits.
        num_pictures: validation images to draw.
        seed: of the data and of the training.
        workers: processes for the conversion.
        opts: KEY VALUE pairs over the config.

    Returns:
        dict: what `metrics.json` holds: "bbox", "attributes", "attributes_gt_boxes"; "style" and "sub_style" of a
        model that predicts them.

    Raises:
        ValueError: `output` holds something else than a demo.
    """
    output = Path(output)
    make_demo_data(output / "data", num_train=num_train, num_val=num_val, seed=seed)
    convert_dataset(output / "data", output / "store", workers=workers)
    run_dir = output / "train"
    run_dir.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.json", "last_checkpoint"):
        (run_dir / name).unlink(missing_ok=True)
    setup_logger(str(run_dir))
    setup_logger(str(run_dir), name="kfashion_d2")
    base = ["DATASETS.KFASHION.ROOT", str(output / "store"), "OUTPUT_DIR", str(run_dir), "SEED", seed]
    cfg = setup_config(get_config_file(CONFIG), [*base, *opts])
    seed_all_rng(seed)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    results = {task: dict(metrics) for task, metrics in trainer.results.items()}
    write_metrics(results, output / "metrics.json")
    plot_training_curve(
        run_dir / "metrics.json", output / "training_curve.png", "Attribute R-CNN, tiny, on drawn people"
    )
    cfg.merge_from_list(["MODEL.WEIGHTS", str(run_dir / "model_final.pth")])
    pictures = _draw(cfg, output / "pictures", num_pictures)
    write_demo_page(
        output / "index.html",
        title=words("kfashion_d2: the demo"),
        results=results,
        schema=trainer.model.roi_heads.attribute_schema,
        curve=output / "training_curve.png",
        pictures=pictures,
        notes=[
            words(
                "{train} drawn people to learn from, {val} to test on, {iterations} iterations of {images} images at "
                "{pixels} pixels, from scratch, seed {seed}.",
                train=num_train,
                val=num_val,
                iterations=cfg.SOLVER.MAX_ITER,
                images=cfg.SOLVER.IMS_PER_BATCH,
                pixels=cfg.INPUT.MIN_SIZE_TEST,
                seed=seed,
            )
        ],
    )
    return results


def _draw(cfg, folder: Path, count: int) -> list[Path]:
    """Draw predictions beside the ground truth, for images spread over the first test split."""
    import cv2

    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.jpg"):
        old.unlink()
    name = cfg.DATASETS.TEST[0]
    dataset, metadata = DatasetCatalog.get(name), MetadataCatalog.get(name)
    schema = metadata.attribute_schema
    classes = schema.thing_classes(metadata.classes)
    predictor = KFashionPredictor(cfg)
    with_garments = np.flatnonzero(dataset.num_garments)
    paths = []
    for index in with_garments[np.linspace(0, len(with_garments) - 1, min(count, len(with_garments))).astype(int)]:
        record = dataset[index]
        image = read_image(record["file_name"], format="BGR")
        result = predictor(image)
        picture = draw_comparison(
            image[:, :, ::-1],
            record["annotations"],
            result["instances"],
            schema,
            classes,
            true_styles=styles_from_record(record, schema),
            predicted_styles=predictor.styles(result),
        )
        path = folder / f"{record['image_id']}.jpg"
        cv2.imwrite(str(path), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        paths.append(path)
    return paths
