"""K-Fashion's splits, loaded and scored as by the yaml configs."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import build_detection_test_loader
from omegaconf import OmegaConf

from kfashion_d2.data import AttributeDatasetMapper
from kfashion_d2.engine.lazy_parts import kfashion_evaluator, kfashion_images, lazy_schema
from kfashion_d2.engine.loaders import batch_training_images

# As DATASETS.KFASHION in a yaml config.
kfashion = OmegaConf.create(dict(root="", image_root="", classes="category", schema=""))
# The attribute groups to train; no names: all.
schema = L(lazy_schema)(data="${kfashion}", groups=[])

dataloader = OmegaConf.create()
dataloader.train = L(batch_training_images)(
    dataset=L(kfashion_images)(names="kfashion_train", data="${kfashion}", filter_empty=True),
    mapper=L(AttributeDatasetMapper)(
        is_train=True,
        schema="${schema}",
        augmentations=[
            L(T.ResizeShortestEdge)(
                short_edge_length=(640, 672, 704, 736, 768, 800), sample_style="choice", max_size=1333
            ),
            L(T.RandomFlip)(horizontal=True),
        ],
        image_format="BGR",
        use_instance_mask=False,
    ),
    total_batch_size=16,
    num_workers=4,
    seed="${train.seed}",
)
dataloader.test = L(build_detection_test_loader)(
    dataset=L(kfashion_images)(names="kfashion_val", data="${kfashion}"),
    mapper=L(AttributeDatasetMapper)(
        is_train=False,
        schema="${schema}",
        augmentations=[L(T.ResizeShortestEdge)(short_edge_length=800, max_size=1333)],
        image_format="${...train.mapper.image_format}",
    ),
    num_workers=4,
)
dataloader.evaluator = L(kfashion_evaluator)(
    dataset_name="${..test.dataset.names}",
    groups="${schema.groups}",
    masks="${..train.mapper.use_instance_mask}",
    output_dir="${train.output_dir}",
)
