"""
This module has data loaders over the lazy store: broken images are skipped in training, and a resumed run finds its
batches again.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    build_detection_test_loader,
    get_detection_dataset_dicts,
)
from detectron2.data.build import trivial_batch_collator, worker_init_reset_seed
from detectron2.data.samplers import RandomSubsetTrainingSampler, RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Sampler, Subset

from ..data import AttributeDatasetMapper, KFashionDataset, SkipBrokenImages
from ..data.sampling import AttributeRepeatFactorSampler, repeat_factors
from ..data.statistics.label_statistics import image_labels
from ..data.training_batches import SeededDataset, TrainingBatches

__all__ = ["batch_training_images", "build_test_loader", "build_train_loader", "start_at_iteration"]

logger = logging.getLogger(__name__)


def without_empty_images(dataset: Dataset) -> Dataset:
    """Return the images with a garment, as Detectron2 keeps them for training; lazily for our store."""
    if isinstance(dataset, ConcatDataset):
        return ConcatDataset([without_empty_images(part) for part in dataset.datasets])
    if isinstance(dataset, KFashionDataset):
        indices = np.flatnonzero(dataset.num_garments)
        return dataset if len(indices) == len(dataset) else Subset(dataset, indices)  # type: ignore[arg-type]
    return dataset


def labels_of(dataset: Dataset, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """
    List :func:`image_labels` of what :func:`without_empty_images` and Detectron2's concatenation make of our splits.
    """
    if isinstance(dataset, ConcatDataset):
        starts = [0, *dataset.cumulative_sizes]
        images, labels = zip(*(labels_of(part, names) for part in dataset.datasets), strict=True)
        return np.concatenate([i + s for i, s in zip(images, starts, strict=False)]), np.concatenate(labels)
    if isinstance(dataset, Subset):
        images, labels = labels_of(dataset.dataset, names)
        position = np.full(len(dataset.dataset), -1, dtype=np.int64)  # type: ignore[arg-type]
        position[np.asarray(dataset.indices)] = np.arange(len(dataset))
        kept = position[images] >= 0
        return position[images[kept]], labels[kept]
    if isinstance(dataset, KFashionDataset):
        return image_labels(dataset, names)
    raise ValueError(
        "AttributeRepeatFactorSampler reads converted K-Fashion splits alone; choose another SAMPLER_TRAIN"
    )


def is_wide(dataset: Dataset) -> np.ndarray:
    """Say which images are wider than high, which Detectron2 does not mix with others in a batch; bool (N,)."""
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([is_wide(part) for part in dataset.datasets])
    if isinstance(dataset, Subset):
        return is_wide(dataset.dataset)[np.asarray(dataset.indices)]
    if isinstance(dataset, KFashionDataset):
        return dataset.column("width") > dataset.column("height")
    return np.array([dataset[i]["width"] > dataset[i]["height"] for i in range(len(dataset))])  # type: ignore[arg-type]


def build_sampler(cfg: CfgNode, dataset: Dataset) -> Sampler:
    """
    Build the sampler named by ``DATALOADER.SAMPLER_TRAIN``. RepeatFactorTrainingSampler's factors are those of the
    classes, and read each dict once; AttributeRepeatFactorSampler's are those of ``DATALOADER.REPEAT_LABELS``.

    Raises:
        ValueError: there is no such sampler.
    """
    name, seed = cfg.DATALOADER.SAMPLER_TRAIN, None if cfg.SEED < 0 else cfg.SEED
    size = len(dataset)  # type: ignore[arg-type]
    if name == "TrainingSampler":
        return TrainingSampler(size, seed=seed)
    if name == "RandomSubsetTrainingSampler":
        return RandomSubsetTrainingSampler(
            size, cfg.DATALOADER.RANDOM_SUBSET_RATIO, seed_shuffle=seed, seed_subset=seed
        )
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


def batch_training_images(
    dataset: Dataset,
    mapper,
    sampler: Sampler | None = None,
    *,
    total_batch_size: int,
    seed: int = -1,
    num_workers: int = 0,
    aspect_ratio_grouping: bool = True,
) -> DataLoader:
    """
    Make endless batches of mapped dicts. A batch follows from its number, the sampler and the seed alone.

    Args:
        dataset: of dataset dicts, with a length.
        mapper: dataset dict -> model input; see :class:`SkipBrokenImages` for those that it cannot map.
        sampler: endless indices for this process, seeded. None: Detectron2's TrainingSampler.
        total_batch_size: images of all processes together.
        seed: of the augmentations, and of the sampler that is not given; negative: drawn.
        num_workers: processes that load, for each training process; they change nothing but the speed.
        aspect_ratio_grouping: no batch of wide and high images, which would be padded much.

    Raises:
        ValueError: the batch cannot be shared evenly between the processes.
    """
    world_size = comm.get_world_size()
    if total_batch_size < 1 or total_batch_size % world_size:
        raise ValueError(f"SOLVER.IMS_PER_BATCH is {total_batch_size}: {world_size} processes cannot share it evenly")
    seed = comm.shared_random_seed() if seed < 0 else seed
    batches = TrainingBatches(
        sampler or TrainingSampler(len(dataset), seed=seed),  # type: ignore[arg-type]
        total_batch_size // world_size,
        groups=is_wide(dataset) if aspect_ratio_grouping else None,
        rank=comm.get_rank(),
        world_size=world_size,
    )
    return DataLoader(
        SeededDataset(SkipBrokenImages(dataset, mapper), seed),
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=trivial_batch_collator,
        worker_init_fn=worker_init_reset_seed,
        generator=torch.Generator(),  # or the loader takes a number from the model's
    )


def start_at_iteration(loader, iteration: int) -> bool:
    """Let a loader, not used yet, begin with the batch of this iteration. Returns whether it is one that can."""
    batches = getattr(loader, "batch_sampler", None)
    if isinstance(batches, TrainingBatches):
        batches.first = iteration
    return isinstance(batches, TrainingBatches)


def build_train_loader(cfg: CfgNode) -> DataLoader:
    """
    Make endless batches of mapped dicts for training; see :class:`AttributeDatasetMapper` for their content.

    Raises:
        ValueError: no image with a garment is left, the sampler does not exist, or the processes cannot share a batch.
    """
    dataset = get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS)
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        dataset = without_empty_images(dataset)
    if not len(dataset):
        raise ValueError(
            f"no image with a garment in {', '.join(cfg.DATASETS.TRAIN)}; see the converter's summary.json"
        )
    if isinstance(dataset, list):
        dataset = DatasetFromList(dataset, copy=False)
    return batch_training_images(
        dataset,
        AttributeDatasetMapper(cfg, is_train=True),
        build_sampler(cfg, dataset),
        total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
        seed=cfg.SEED,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        aspect_ratio_grouping=cfg.DATALOADER.ASPECT_RATIO_GROUPING,
    )


def spread_indices(size: int, limit: int) -> np.ndarray:
    """
    Return `limit` of `size` positions, evenly spread and always the same; all where the limit is 0 or not below. int64.
    """
    return np.arange(size) if not 0 < limit < size else np.arange(limit) * size // limit


def build_test_loader(cfg: CfgNode, dataset_name: str):
    """
    Give every image once, in order, or the ``TEST.MAX_EVAL_IMAGES`` of :func:`spread_indices`; a broken one is an error
    with its name.
    """
    mapper = AttributeDatasetMapper(cfg, is_train=False)
    size = len(DatasetCatalog.get(dataset_name))
    indices = spread_indices(size, cfg.TEST.MAX_EVAL_IMAGES)
    if len(indices) == size:
        return build_detection_test_loader(cfg, dataset_name, mapper=mapper)
    logger.info("%s: %d of %d images are evaluated (TEST.MAX_EVAL_IMAGES)", dataset_name, len(indices), size)
    subset = Subset(DatasetCatalog.get(dataset_name), indices.tolist())
    return build_detection_test_loader(subset, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS)
