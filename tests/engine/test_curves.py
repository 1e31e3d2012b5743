import json
import logging

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kfashion_d2.engine import Trainer
from tests.engine.tiny_config import make_cfg


def test_every_group_has_its_curves_and_the_console_stays_short(demo_store, tmp_path, caplog):
    cfg = make_cfg(demo_store, tmp_path, "MODEL.ROI_ATTRIBUTE_HEAD.GROUPS", ["color", "material"], "DATASETS.TEST", [])
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    console = logging.getLogger("detectron2.utils.events")
    console.addHandler(caplog.handler)
    try:
        trainer.train()
    finally:
        console.removeHandler(caplog.handler)
    events = EventAccumulator(str(tmp_path)).Reload()
    names = {name for name in events.Tags()["scalars"] if name.startswith("attribute/")}
    kinds = {"color": ("accuracy", "known", "loss"), "material": ("micro_f1", "known", "loss")}
    assert names == {f"attribute/{group}_{kind}" for group in kinds for kind in kinds[group]}
    last = json.loads((tmp_path / "metrics.json").read_text().splitlines()[-1])
    assert last["attribute/color_known"] > 0 and last["attribute/color_loss"] > 0
    (line,) = {r.getMessage() for r in caplog.records if "total_loss" in r.getMessage()}
    assert "loss_attribute" in line and "color" not in line
