import subprocess
import sys
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog

from kfashion_d2.engine import Trainer
from kfashion_d2.engine.loaders import build_train_loader
from tests.engine.tiny_config import TINY, losses_of, make_cfg

ROOT = Path(__file__).parents[2]


def test_trains_evaluates_and_resumes(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    results = trainer.results
    assert set(results) == {"bbox", "attributes", "attributes_gt_boxes"}
    assert results["attributes_gt_boxes"]["color/support"] > 0
    assert all(type(value) is float for metrics in results.values() for value in metrics.values())

    longer = make_cfg(demo_store, tmp_path, "SOLVER.MAX_ITER", 5)
    resumed = Trainer(longer)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 3
    before, after = (t.state_dict()["_trainer"]["optimizer"]["state"] for t in (trainer, resumed))
    assert before.keys() == after.keys() != set()
    assert all(torch.equal(before[i]["exp_avg"], after[i]["exp_avg"]) for i in before)
    assert all(torch.equal(a, b) for a, b in zip(trainer.model.parameters(), resumed.model.parameters(), strict=True))
    assert resumed.scheduler.last_epoch == 3
    resumed.train()
    assert losses_of(tmp_path)["iteration"] == 4


def test_every_image_with_a_garment_trains(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path)
    with_garments = {d["image_id"] for d in DatasetCatalog.get("kfashion_train") if d["annotations"]}
    loader = iter(build_train_loader(cfg))
    seen = {d["image_id"] for _ in range(40) for d in next(loader)}
    assert seen == with_garments


def test_adamw_and_unknown_optimizers(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path)
    model = Trainer.build_model(cfg)
    optimizer = Trainer.build_optimizer(cfg, model)
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {group["weight_decay"] for group in optimizer.param_groups}
    assert decays == {0.0, cfg.SOLVER.WEIGHT_DECAY}  # none on norms
    cfg.SOLVER.OPTIMIZER = "ADAM"
    with pytest.raises(ValueError, match=r"'ADAM'; choose SGD or ADAMW"):
        Trainer.build_optimizer(cfg, model)


def test_num_classes(demo_store, tmp_path):
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 80, but the data has 4 classes .*CLASSES: part"):
        make_cfg(demo_store, tmp_path, "MODEL.ROI_HEADS.NUM_CLASSES", 80)
    assert make_cfg(demo_store, tmp_path, "MODEL.ROI_HEADS.NUM_CLASSES", -1).MODEL.ROI_HEADS.NUM_CLASSES == 4


def test_an_unknown_key_is_the_users_mistake(demo_store, tmp_path):
    with pytest.raises(ValueError, match=r"attribute_rcnn_tiny\.yaml with .*MODEL\.NONSENSE 1"):
        make_cfg(demo_store, tmp_path, "MODEL.NONSENSE", 1)


def test_a_missing_split_says_how_to_convert(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"kfashion_train .*convert_kfashion\.py"):
        make_cfg(tmp_path / "nowhere", tmp_path)


def test_two_cpu_processes_train_to_the_same_scale(demo_store, tmp_path):
    """Both through the tool; the global batch is the same."""
    losses = {}
    for processes in (1, 2):
        output = tmp_path / str(processes)
        command = [
            sys.executable,
            str(ROOT / "tools/train_net.py"),
            "--config-file",
            TINY,
            "--num-cpus",
            str(processes),
        ]
        command += ["--dist-url", "auto", "DATASETS.KFASHION.ROOT", str(demo_store), "OUTPUT_DIR", str(output)]
        command += ["SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "4", "DATALOADER.NUM_WORKERS", "0", "SEED", "1"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        losses[processes] = losses_of(output)
    assert losses[2]["total_loss"] == pytest.approx(losses[1]["total_loss"], rel=0.3)
    assert losses[2]["loss_attribute"] == pytest.approx(losses[1]["loss_attribute"], rel=0.3)


def test_a_config_without_the_branch_is_refused_before_anything_is_built(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path, "MODEL.ROI_HEADS.NAME", "StandardROIHeads")
    with pytest.raises(
        ValueError, match=r"'StandardROIHeads', which has no attribute branch: .*AttributeStandardROIHe"
    ):
        Trainer(cfg)
