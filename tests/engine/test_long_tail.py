"""What the engine counts in the training set, for the model and for the sampler."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from torch.utils.data import ConcatDataset, Subset

from kfashion_d2.data import AttributeRepeatFactorSampler, image_labels, label_counts
from kfashion_d2.engine import Trainer
from kfashion_d2.engine.loaders import build_sampler, labels_of
from tests.engine.tiny_config import make_cfg


def test_counts_go_into_the_head_and_the_checkpoint(demo_store, tmp_path):
    options = ["MODEL.ROI_ATTRIBUTE_HEAD.LOSS.SINGLE", "logit_adjusted", "MODEL.ROI_ATTRIBUTE_HEAD.CLASS_PRIOR", True]
    options += ["SOLVER.MAX_ITER", 1, "DATASETS.TEST", ()]
    cfg = make_cfg(demo_store, tmp_path, *options)
    trainer = Trainer(cfg)
    head = trainer.model.roi_heads.attribute_head
    yes, known = label_counts(DatasetCatalog.get("kfashion_train"), head.schema)
    assert yes.sum() > 0
    assert np.array_equal(head.prior.counts.numpy(), np.stack([yes, known]))
    trainer.resume_or_load(resume=False)
    trainer.train()
    saved = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert np.array_equal(saved["roi_heads.attribute_head.prior.counts"], np.stack([yes, known]))
    # Weights from elsewhere bring counts from elsewhere: this training set's win, unless the run resumes.
    head.prior.counts.zero_()
    trainer.checkpointer.save("foreign")
    cfg.SOLVER.MAX_ITER = 2  # what is saved behind the end counts as one iteration more
    for resume, expected in ((True, 0), (False, yes.sum())):
        cfg.MODEL.WEIGHTS = str(tmp_path / "foreign.pth")
        again = Trainer(cfg)
        again.resume_or_load(resume=resume)
        assert again.model.roi_heads.attribute_head.prior.counts[0].sum() == expected


def test_sampler_by_config(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path, "DATALOADER.SAMPLER_TRAIN", "AttributeRepeatFactorSampler")
    cfg.DATALOADER.REPEAT_LABELS, cfg.DATALOADER.REPEAT_THRESHOLD = ["category", "style"], 0.9
    dataset = DatasetCatalog.get("kfashion_train")
    sampler = build_sampler(cfg, dataset)
    assert isinstance(sampler, AttributeRepeatFactorSampler)
    assert (sampler._int_part + sampler._frac_part).max() > 1.5
    with pytest.raises(ValueError, match="converted K-Fashion splits"):
        build_sampler(cfg, [{"annotations": []}])


def test_labels_follow_subsets_and_concatenations(demo_store, tmp_path):
    make_cfg(demo_store, tmp_path)
    dataset = DatasetCatalog.get("kfashion_train")
    images, labels = image_labels(dataset, ["category"])
    keep = [5, 3, 9]
    both = ConcatDataset([dataset, Subset(dataset, keep)])
    found = set(zip(*(x.tolist() for x in labels_of(both, ["category"])), strict=True))
    expected = set(zip(images.tolist(), labels.tolist(), strict=True))
    expected |= {(len(dataset) + keep.index(i), label) for i, label in list(expected) if i in keep}
    assert found == expected
