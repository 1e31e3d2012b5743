"""The configuration of a run of three iterations of the tiny model, and what such a run wrote."""

import json
from pathlib import Path

from kfashion_d2.config import get_config_file
from kfashion_d2.engine import setup_config

ROOT = Path(__file__).parents[2]
TINY = get_config_file("quick/attribute_rcnn_tiny.yaml")


def make_cfg(demo_store, output, *opts):
    """Give the tiny model's configuration for three iterations; makes the output folder, registers the splits."""
    fast = ["SOLVER.IMS_PER_BATCH", 2, "SOLVER.MAX_ITER", 3, "SOLVER.WARMUP_ITERS", 1, "SEED", 1]
    fast += ["DATALOADER.NUM_WORKERS", 0, "DATASETS.KFASHION.ROOT", str(demo_store), "OUTPUT_DIR", str(output)]
    Path(output).mkdir(parents=True, exist_ok=True)
    return setup_config(TINY, [*fast, *opts])


def losses_of(output):
    """What the last iteration with losses wrote into the output folder's metrics.json."""
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    return [line for line in lines if "total_loss" in line][-1]
