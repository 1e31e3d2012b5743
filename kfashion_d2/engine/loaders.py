"""Data loaders over the lazy store: Detectron2's own, with broken images skipped."""

from __future__ import annotations

from .. import _needs_detectron2  # noqa: F401  # isort: skip

import logging

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.samplers import RandomSubsetTrainingSampler, RepeatFactorTrainingSampler, TrainingSampler
from torch.utils.data import ConcatDataset, Dataset, Subset

from ..data import AttributeDatasetMapper, KFashionDataset, SkipBrokenImages
from ..data.sampling import AttributeRepeatFactorSampler, repeat_factors
from ..data.statistics import image_labels

__all__ = ["build_test_loader", "build_train_loader"]

logger = logging.getLogger(__name__)


def without_empty_images(dataset: Dataset) -> Dataset:
    """The images with a garment, as Detectron2 keeps them for training; lazily for our store."""
    if isinstance(dataset, ConcatDataset):
        return ConcatDataset([without_empty_images(part) for part in dataset.datasets])
    if isinstance(dataset, KFashionDataset):
        indices = np.flatnonzero(dataset.num_garments)
        return dataset if len(indices) == len(dataset) else Subset(dataset, indices)  # type: ignore[arg-type]
    return dataset


def labels_of(dataset: Dataset, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """:func:`image_labels` of what :func:`without_empty_images` and Detectron2's concatenation make of our splits."""
    if isinstance(dataset, ConcatDataset):
        starts = [0, *dataset.cumulative_sizes]
        images, labels = zip(*(labels_of(part, names) for part in dataset.datasets), strict=True)
        return np.concatenate([i + s for i, s in zip(images, starts, strict=False)]), np.concatenate(labels)
    if isinstance(dataset, Subset):
        images, labels = labels_of(dataset.dataset, names)
        place = np.full(len(dataset.dataset), -1, dtype=np.int64)  # type: ignore[arg-type]
        place[np.asarray(dataset.indices)] = np.arange(len(dataset))
        kept = place[images] >= 0
        return place[images[kept]], labels[kept]
    if isinstance(dataset, KFashionDataset):
        return image_labels(dataset, names)
    raise ValueError(
        "AttributeRepeatFactorSampler reads converted K-Fashion splits alone; choose another SAMPLER_TRAIN"
    )


def build_sampler(cfg: CfgNode, dataset: Dataset):
    """
    The sampler named by ``DATALOADER.SAMPLER_TRAIN``. RepeatFactorTrainingSampler's factors are those of the classes,
    and read each dict once; AttributeRepeatFactorSampler's are those of ``DATALOADER.REPEAT_LABELS``.

    Raises:
        ValueError: there is no such sampler.
    """
    name, seed = cfg.DATALOADER.SAMPLER_TRAIN, None if cfg.SEED < 0 else cfg.SEED
    size = len(dataset)  # type: ignore[arg-type]
    if name == "TrainingSampler":
        return TrainingSampler(size, seed=seed)
    if name == "RandomSubsetTrainingSampler":
        return RandomSubsetTrainingSampler(size, cfg.DATALOADER.RANDOM_SUBSET_RATIO, seed_shuffle=seed)
    if name == "RepeatFactorTrainingSampler":
        factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
            dataset, cfg.DATALOADER.REPEAT_THRESHOLD
        )
        return RepeatFactorTrainingSampler(factors, seed=seed)
    if name == "AttributeRepeatFactorSampler":
        images, labels = labels_of(dataset, cfg.DATALOADER.REPEAT_LABELS)
        factors = repeat_factors(images, labels, size, cfg.DATALOADER.REPEAT_THRESHOLD)
        return AttributeRepeatFactorSampler(factors, seed=seed)
    raise ValueError(
        f"DATALOADER.SAMPLER_TRAIN is {name!r}; choose from TrainingSampler, RandomSubsetTrainingSampler, "
        "RepeatFactorTrainingSampler, AttributeRepeatFactorSampler"
    )


def build_train_loader(cfg: CfgNode):
    """
    Endless batches of mapped dicts for training; see :class:`AttributeDatasetMapper` for their content.

    Raises:
        ValueError: no image with a garment is left, or the sampler does not exist.
    """
    dataset = get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        dataset = without_empty_images(dataset)
    if not len(dataset):
        raise ValueError(
            f"no image with a garment in {', '.join(cfg.DATASETS.TRAIN)}; see the converter's summary.json"
        )
    return build_detection_train_loader(
        SkipBrokenImages(dataset, AttributeDatasetMapper(cfg, is_train=True)),
        mapper=None,
        sampler=build_sampler(cfg, dataset),
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def spread_indices(size: int, limit: int) -> np.ndarray:
    """int64: `limit` of `size` places, evenly spread and always the same; all where the limit is 0 or not below."""
    return np.arange(size) if not 0 < limit < size else np.arange(limit) * size // limit


def build_test_loader(cfg: CfgNode, dataset_name: str):
    """
    Every image once, in order, or the ``TEST.MAX_EVAL_IMAGES`` of :func:`spread_indices`; a broken one is an error with
    its name.
    """
    mapper = AttributeDatasetMapper(cfg, is_train=False)
    size = len(DatasetCatalog.get(dataset_name))
    indices = spread_indices(size, cfg.TEST.MAX_EVAL_IMAGES)
    if len(indices) == size:
        return build_detection_test_loader(cfg, dataset_name, mapper=mapper)
    logger.info("%s: %d of %d images are evaluated (TEST.MAX_EVAL_IMAGES)", dataset_name, len(indices), size)
    some = Subset(DatasetCatalog.get(dataset_name), indices.tolist())
    return build_detection_test_loader(some, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS)
