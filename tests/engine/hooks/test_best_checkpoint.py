import logging
import math

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.engine import Trainer
from kfashion_d2.engine.hooks.best_checkpoint import BestCheckpoint, StopTraining
from kfashion_d2.engine.launch import launch
from tests.engine.tiny_config import make_cfg


def make_hook(values, **options):
    hook = BestCheckpoint("bbox/AP50", None, dict, eval_period=1, **options)
    hook.load_state_dict({"values": [[i, value] for i, value in enumerate(values)]})
    return hook


@pytest.mark.parametrize(
    "values, options, best, waiting",
    [
        ([], {}, None, 0),
        ([10, 30, 20], {}, (1, 30), 1),
        ([10, 30, 30], {}, (1, 30), 1),
        ([10, 30, 20], {"mode": "min"}, (0, 10), 2),
        ([math.nan, 10, math.nan], {}, (1, 10), 1),
        ([math.nan], {}, None, 1),
        ([10, 10.4, 10.8, 11.2], {"min_delta": 1}, (3, 11.2), 0),  # creeping, but 1.2 better than the last record
        ([10, 10.4, 10.8], {"min_delta": 1}, (2, 10.8), 2),
    ],
)
def test_best_and_patience_by_hand(values, options, best, waiting):
    hook = make_hook(values, **options)
    assert hook.best() == best
    assert hook.num_waiting() == waiting


def test_values_of_another_metric_are_not_compared(caplog):
    state = make_hook([80.0, 70.0]).state_dict()
    same, other = (BestCheckpoint(name, None, dict, eval_period=1) for name in ("bbox/AP50", "attributes/mean/mAP"))
    same.load_state_dict(state)
    assert same.best() == (0, 80.0)
    with caplog.at_level(logging.WARNING, logger="kfashion_d2"):
        other.load_state_dict(state)  # 80 of AP50 would never be reached by a mAP
    assert other.best() is None and other.num_waiting() == 0
    assert "METRIC was bbox/AP50 and is attributes/mean/mAP now" in caplog.text


class ScriptedTrainer(Trainer):
    """Evaluations with prescribed outcomes."""

    script = ()

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        cls.tested = [*cls.tested, model.roi_heads.attribute_head.predictor.bias.detach().clone()]
        return {"bbox": {"AP50": cls.script[len(cls.tested) - 1]}, "attributes": {"mean/macro_f1": 1.0}}


def make_trainer(script, *args, resume=False):
    ScriptedTrainer.script, ScriptedTrainer.tested = script, []
    opts = ("TEST.EVAL_PERIOD", 1, "TEST.BEST.METRIC", "bbox/AP50", "SOLVER.CHECKPOINT_PERIOD", 1)
    trainer = ScriptedTrainer(make_cfg(*args[:2], *opts, *args[2:]))
    trainer.resume_or_load(resume=resume)
    return trainer


def bias_in(path):
    return torch.load(path, weights_only=True)["model"]["roi_heads.attribute_head.predictor.bias"]


def test_best_is_kept_the_run_stops_and_remembers(demo_store, tmp_path, caplog):
    trainer = make_trainer([20.0, 30.0, 25.0], demo_store, tmp_path, "SOLVER.MAX_ITER", 3)
    trainer.train()
    assert torch.equal(bias_in(tmp_path / "model_best.pth"), trainer.tested[1])
    assert not torch.equal(bias_in(tmp_path / "model_final.pth"), trainer.tested[1])
    assert torch.load(tmp_path / "model_best.pth", weights_only=True)["bbox/AP50"] == 30.0
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"

    # 28 would be a new best for who had forgotten 30, and the patience of 3 would last until iteration 5.
    opts = ("SOLVER.MAX_ITER", 9, "TEST.BEST.PATIENCE", 3)
    trainer = make_trainer([28.0, 27.0, 26.0], demo_store, tmp_path, *opts, resume=True)
    assert trainer.start_iter == 3
    with caplog.at_level(logging.INFO, logger="kfashion_d2"):
        trainer.train()
    assert trainer.iter == 4 and len(trainer.tested) == 2
    assert "Stopped at iteration 4: bbox/AP50 was no better in the last 3 evaluations than 30.0000 at iteration 1" in (
        caplog.text
    )
    assert torch.load(tmp_path / "model_best.pth", weights_only=True)["iteration"] == 1
    assert torch.equal(bias_in(tmp_path / "model_final.pth"), trainer.tested[1])

    # Resumed, it has nothing left to do; with more patience it goes on where it stopped.
    trainer = make_trainer([], demo_store, tmp_path, *opts, resume=True)
    trainer.train()
    assert trainer.tested == []
    trainer = make_trainer([40.0, 1, 1, 1, 1], demo_store, tmp_path, *opts[:3], 4, resume=True)
    assert trainer.start_iter == 5
    trainer.train()
    assert torch.load(tmp_path / "model_best.pth", weights_only=True)["iteration"] == 5


def test_an_unknown_metric_lists_the_others(demo_store, tmp_path):
    with pytest.raises(ValueError, match=r"'bbox/AP5'.* Did you mean .*bbox/AP50.* attributes/mean/mAP, .*bbox/AP50"):
        make_trainer([], demo_store, tmp_path, "TEST.BEST.METRIC", "bbox/AP5")
    assert not list(tmp_path.glob("*.pth"))
    # One that only an evaluation can judge: the training up to there is not lost.
    trainer = make_trainer([1.0, 2.0, 3.0], demo_store, tmp_path, "TEST.BEST.METRIC", "bbox_TTA/AP50")
    with pytest.raises(ValueError, match=r"'bbox_TTA/AP50'.* It gives attributes/mean/macro_f1, bbox/AP50$"):
        trainer.train()
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000000.pth"


@pytest.mark.parametrize(
    "opts, message",
    [
        (("TEST.BEST.MODE", "best"), "MODE is 'best'; choose max or min"),
        (("TEST.BEST.PATIENCE", 2, "TEST.EVAL_PERIOD", 0), "EVAL_PERIOD is 0"),
        (("TEST.BEST.PATIENCE", 2, "TEST.BEST.METRIC", ""), "METRIC is empty"),
        (("TEST.BEST.MIN_DELTA", -1.0), "neither can be negative"),
    ],
)
def test_settings_that_cannot_be(demo_store, tmp_path, opts, message):
    with pytest.raises(ValueError, match=message):
        make_trainer([], demo_store, tmp_path, *opts)


class FakeTrainer:
    iter, max_iter = 4, 100


def two_processes(folder):
    """Only the main process has results."""
    from detectron2.utils import comm

    results = {"bbox": {"AP50": 1.0}} if comm.is_main_process() else {}
    net = nn.Linear(1, 1)
    hook = BestCheckpoint("bbox/AP50", KFashionCheckpointer(net, folder), lambda: results, eval_period=5, patience=2)
    hook.trainer = FakeTrainer()
    for iteration in (4, 9, 14):
        hook.trainer.iter = iteration
        try:
            hook.after_step()
        except StopTraining:
            break
    with open(f"{folder}/{comm.get_rank()}", "w") as file:
        file.write(str(iteration))
    comm.synchronize()


def test_processes_stop_together(tmp_path):
    launch(two_processes, 2, dist_url="auto", args=(str(tmp_path),))
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["14", "14"]
    assert DetectionCheckpointer(nn.Linear(1, 1), str(tmp_path)).get_checkpoint_file().endswith("model_final.pth")
