"""Measure what each choice of the attribute branch brings: tiny variants, trained on a long-tailed demo set."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kfashion_d2.config import get_config_file
from kfashion_d2.data import convert_dataset, make_demo_data
from kfashion_d2.engine import setup_config
from kfashion_d2.utils.files import write_file

from .accuracy_report import write_report
from .accuracy_run import run_once
from .accuracy_variants import VARIANTS

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", default="output/ablation", help="data, runs and results (default: output/ablation)")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), metavar="NAME", help=f"{', '.join(VARIANTS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--iterations", type=int, default=400, help="of 8 images (default: 400)")
    parser.add_argument("--num-train", type=int, default=2000, help="training pictures (default: 2000)")
    parser.add_argument("--num-val", type=int, default=1000, help="validation pictures (default: 1000)")
    parser.add_argument("--imbalance", type=float, default=100, help="of the labels; see make_demo_data.py")
    parser.add_argument("--docs", help="folder whose ablation.md and images/ablation.png are brought up to date")
    parser.add_argument("--report-only", action="store_true", help="train nothing: the tables of what is there")


def run(args: argparse.Namespace) -> str:
    """Train what is not trained yet, the first seed's runs first, and return the tables."""
    folder = Path(args.folder)
    if not args.report_only:
        make_store(folder, args)
        todo = [(name, seed) for seed in args.seeds for name in args.variants or VARIANTS]
        for name, seed in tqdm(todo, unit="run", disable=None):
            ensure_run(folder, name, seed, args.iterations)
    return write_report(folder, Path(args.docs) if args.docs else None)


def make_store(folder: Path, args: argparse.Namespace) -> None:
    """Draw and convert the data, unless that was done before."""
    made = {"num_train": args.num_train, "num_val": args.num_val, "imbalance": args.imbalance, "seed": 0}
    note = folder / "data.json"
    if note.is_file():
        before = json.loads(note.read_text(encoding="utf-8"))
        if before != made:
            raise ValueError(f"{folder} holds runs on other data ({before}, not {made}): choose another --folder")
        return
    make_demo_data(folder / "data", **made)
    convert_dataset(folder / "data", folder / "store")
    note.write_text(json.dumps(made) + "\n", encoding="utf-8")


def ensure_run(folder: Path, name: str, seed: int, iterations: int) -> bool:
    """
    Train and score a variant, unless its result is there and was made with the same config.

    Returns:
        Whether it was trained.
    """
    variant = VARIANTS[name]
    opts = [*variant.opts, "SOLVER.MAX_ITER", iterations, "DATALOADER.NUM_WORKERS", 0]
    cfg = setup_config(get_config_file(variant.config), ["DATASETS.KFASHION.ROOT", str(folder / "store"), *opts])
    result = folder / "runs" / f"{name}_{seed}.json"
    recipe = _recipe(cfg)
    if result.is_file():
        before = json.loads(result.read_text(encoding="utf-8"))["recipe"]
        # A key that only one of the two knows came with a later version, and at first changes nothing.
        changed = sorted(key for key in before.keys() & recipe.keys() if before[key] != recipe[key])
        if not changed:
            return False
        logger.warning("%s was made with another %s: it is trained anew", result, ", ".join(changed))
    arrays, measured = run_once(cfg, seed, result.with_suffix(".log"))
    np.savez_compressed(result.with_suffix(".npz"), **arrays._asdict())
    shutil.rmtree(result.with_suffix(""), ignore_errors=True)
    document = {"variant": name, "seed": seed, "iterations": iterations, **measured, "recipe": recipe}
    write_file(result, (json.dumps(document, indent=2) + "\n").encode())
    return True


def _recipe(cfg: Any) -> dict[str, Any]:
    """Return all keys of a config but folders, with their values as JSON has them."""
    keys: dict[str, Any] = {}

    def collect(node: Any, prefix: str) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                collect(value, f"{prefix}{key}.")
            else:
                keys[prefix + key] = list(value) if isinstance(value, tuple) else value

    collect(cfg, "")
    for folder in ("DATASETS.KFASHION.ROOT", "OUTPUT_DIR"):
        del keys[folder]
    return json.loads(json.dumps(keys))
