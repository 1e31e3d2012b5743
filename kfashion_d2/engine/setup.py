"""
This module gives a config what it needs before it can train: its datasets registered, and as many classes as the data
has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from yaml import YAMLError

from ..config import check_num_classes, get_kfashion_cfg, use_available_device
from ..data import register_kfashion
from ..schema import AttributeSchema

__all__ = ["amp_precision", "register_from_config", "setup_config"]


def kfashion_root(root: str) -> Path:
    """
    Return the converted folder: ``DATASETS.KFASHION.ROOT``, or ``$DETECTRON2_DATASETS/kfashion`` where it is empty.
    """
    return Path(root or Path(os.environ.get("DETECTRON2_DATASETS", "datasets")) / "kfashion")


def register_splits(
    root: str, wanted: Iterable[str] = (), *, classes: str = "category", image_root: str = "", schema: str = ""
) -> list[str]:
    """
    Register every split under the converted folder as ``kfashion_<split>``. Call it in every process.

    Args:
        root, classes, image_root, schema: as in ``DATASETS.KFASHION``.
        wanted: names of datasets that must be there; of these, those that do not begin with ``kfashion_`` are the
            caller's.

    Returns:
        list[str]: the names registered.

    Raises:
        FileNotFoundError: a wanted split is not there.
    """
    folder = kfashion_root(root)
    if (folder / "meta.json").is_file():
        raise FileNotFoundError(
            f"DATASETS.KFASHION.ROOT {folder} is one split of a converted folder: set it to the folder around it, "
            f"{folder.absolute().parent}"
        )
    own_schema = AttributeSchema.from_file(schema) if schema else None
    splits = sorted(path.parent for path in folder.glob("*/meta.json"))
    names = [f"kfashion_{split.name}" for split in splits]
    for name, split in zip(names, splits, strict=True):
        register_kfashion(name, split, classes=classes, image_root=image_root or None, schema=own_schema)
    for name in wanted:
        if name.startswith("kfashion_") and name not in names:
            raise FileNotFoundError(
                f"no split for {name} in {folder} (there: {', '.join(names) or 'none'}). Convert the data with "
                f"'python tools/convert_kfashion.py DATA_ROOT --output {folder}', or set DATASETS.KFASHION.ROOT"
            )
    return names


def register_from_config(cfg: CfgNode) -> list[str]:
    """Call :func:`register_splits` with ``DATASETS.KFASHION``, for ``DATASETS.TRAIN`` and ``DATASETS.TEST``."""
    data, wanted = cfg.DATASETS.KFASHION, (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    return register_splits(data.ROOT, wanted, classes=data.CLASSES, image_root=data.IMAGE_ROOT, schema=data.SCHEMA)


def with_checked_classes(cfg: CfgNode) -> CfgNode:
    """
    Return a copy of the config, frozen, with NUM_CLASSES from the data where it is -1.

    Raises:
        ValueError: NUM_CLASSES or DATASETS.KFASHION.CLASSES disagrees with a dataset that :func:`register_kfashion`
            registered.
    """
    cfg = cfg.clone()
    cfg.defrost()
    modes = {name: MetadataCatalog.get(name).get("classes") for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)}
    for name, mode in modes.items():
        if mode not in (None, cfg.DATASETS.KFASHION.CLASSES):
            raise ValueError(
                f"the dataset {name} is registered with classes={mode!r}, but DATASETS.KFASHION.CLASSES is "
                f"{cfg.DATASETS.KFASHION.CLASSES!r}: make them agree"
            )
    if any(modes.values()):
        check_num_classes(cfg)
    cfg.freeze()
    return cfg


def with_seed(cfg: CfgNode) -> CfgNode:
    """Return a copy of the config, frozen, in which a SEED is drawn where it is negative: one for all processes."""
    cfg = cfg.clone()
    cfg.defrost()
    if cfg.SEED < 0:
        cfg.SEED = comm.shared_random_seed()
    cfg.freeze()
    return cfg


def amp_precision(name: str, device: str) -> torch.dtype:
    """
    Return what mixed-precision training computes in, by ``SOLVER.AMP.PRECISION``.

    Raises:
        ValueError: there is no such precision, or the device does not compute in it.
    """
    if name not in ("float16", "bfloat16"):
        raise ValueError(f"SOLVER.AMP.PRECISION is {name!r}; choose float16 or bfloat16")
    if not device.startswith("cuda"):
        raise ValueError(
            f"SOLVER.AMP.ENABLED is True and MODEL.DEVICE {device!r}: mixed precision needs CUDA. Set "
            "SOLVER.AMP.ENABLED False"
        )
    if name == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            "SOLVER.AMP.PRECISION is 'bfloat16', which this CUDA device does not compute in (Ampere and newer do): "
            "set it to float16"
        )
    return getattr(torch, name)


def setup_config(config_file: str, opts: list[str] | tuple[str, ...] = (), *, register: bool = True) -> CfgNode:
    """
    Make the config of a run: Detectron2's defaults, ours, the file, then the overrides; datasets are registered and
    checked.

    Args:
        config_file: a path, or an address that Detectron2's PathManager opens.
        opts: KEY VALUE pairs.
        register: whether the run needs data (prediction does not).

    Returns:
        CfgNode: not frozen.

    Raises:
        FileNotFoundError: no such config, or no such split.
        ValueError: the file is no config, a key does not exist, or NUM_CLASSES disagrees with the data.
    """
    if not PathManager.isfile(config_file):
        raise FileNotFoundError(f"no config file {config_file!r}; the shipped ones are in configs/")
    cfg = get_kfashion_cfg()
    try:
        cfg.merge_from_file(config_file)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{config_file} is no config of Detectron2: {reason}; the shipped ones are in configs/"
        ) from error
    try:
        cfg.merge_from_list(list(opts))
    except (AssertionError, KeyError, ValueError) as error:  # yacs's: unknown key, odd number of words, another type
        raise ValueError(f"{config_file} with {' '.join(map(str, opts))}: {' '.join(str(error).split())}") from error
    use_available_device(cfg)
    check_num_classes(cfg)
    if register:
        register_from_config(cfg)
    return cfg
