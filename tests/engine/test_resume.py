"""A training that is killed and resumed ends with the weights of one that was not."""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from kfashion_d2.engine import Trainer
from kfashion_d2.engine.loaders import build_train_loader, start_at_iteration
from tests.engine.interrupted_training import train
from tests.engine.tiny_config import ROOT, make_cfg

RUN = """
import json, sys
from tests.engine.interrupted_training import train
store, output, opts = sys.argv[1:]
train(store, output, json.loads(opts), die_at=6)
"""


def run_killed(store, output, opts):
    command = [sys.executable, "-c", RUN, str(store), str(output), json.dumps(opts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]


def run_failing(store, output, opts):
    def fail():
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(store, output, opts, die_at=6, die=fail)


def run_interrupted(store, output, opts):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background may ignore it
    with pytest.raises(KeyboardInterrupt):
        train(store, output, opts, die_at=3, die=lambda: os.kill(os.getpid(), signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    "opts, run",
    [
        (["SOLVER.EMA.ENABLED", True, "DATALOADER.SAMPLER_TRAIN", "AttributeRepeatFactorSampler"], run_killed),
        (["SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", 0.01, "DATALOADER.NUM_WORKERS", 2, "SEED", -1], run_failing),
        (["SOLVER.EMA.ENABLED", True, "SOLVER.CHECKPOINT_PERIOD", 100], run_interrupted),
    ],
    ids=["killed-adamw-ema-repeat-factors", "failed-sgd-workers-drawn-seed", "interrupted-between-checkpoints"],
)
def test_broken_off_and_resumed_equals_uninterrupted(demo_store, tmp_path, opts, run):
    """Ends in iteration 6, two after the checkpoint of iteration 3: those two are trained again. Or in 3."""
    opts = [*("SOLVER.MAX_ITER", 8, "SOLVER.CHECKPOINT_PERIOD", 4, "DATASETS.TEST", []), *opts]
    opts += ["DATALOADER.REPEAT_THRESHOLD", 0.5]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(demo_store, broken, opts)
    assert (broken / "last_checkpoint").read_text() == "model_0000003.pth"
    train(demo_store, broken, opts)
    resumed = torch.load(broken / "model_final.pth", weights_only=True)
    seed = resumed["trainer"]["seed"]
    train(demo_store, whole, [*opts, "SEED", seed])

    expected = torch.load(whole / "model_final.pth", weights_only=True)
    assert resumed["iteration"] == expected["iteration"] == 7
    for key in {"model", "raw_model"} & expected.keys():
        assert all(torch.equal(resumed[key][name], value) for name, value in expected[key].items()), key
    states = [x["trainer"]["_trainer"]["optimizer"]["state"] for x in (resumed, expected)]
    for a, b in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(torch.as_tensor(a[name]), torch.as_tensor(b[name])) for name in b)
    # And it did train between the checkpoint and the end.
    before = torch.load(broken / "model_0000003.pth", weights_only=True)["model"]
    assert any(not torch.equal(before[name], value) for name, value in expected["model"].items())


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("sampler", ["TrainingSampler", "RepeatFactorTrainingSampler", "RandomSubsetTrainingSampler"])
def test_the_loader_goes_on_at_an_iteration(demo_store, tmp_path, sampler, grouping):
    cfg = make_cfg(
        demo_store, tmp_path, "DATALOADER.SAMPLER_TRAIN", sampler, "DATALOADER.ASPECT_RATIO_GROUPING", grouping
    )
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.9

    def batches(first, count):
        loader = build_train_loader(cfg)
        assert start_at_iteration(loader, first)
        stream = iter(loader)
        return [next(stream) for _ in range(count)]

    whole = batches(0, 16)
    cfg.DATALOADER.NUM_WORKERS = 2
    for a, b in zip(whole[13:], batches(13, 3), strict=True):
        assert [x["image_id"] for x in a] == [x["image_id"] for x in b]
        assert all(torch.equal(x["image"], y["image"]) for x, y in zip(a, b, strict=True))
        assert all(x["width"] > x["height"] for x in a) or not any(x["width"] > x["height"] for x in a) or not grouping


def test_a_kill_while_saving_leaves_the_checkpoint_before(demo_store, tmp_path, monkeypatch):
    trainer = Trainer(make_cfg(demo_store, tmp_path))
    trainer.checkpointer.save("model_0000000", iteration=0)

    def half(data, file):
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    for name in ("model_0000001", "model_0000000"):
        with pytest.raises(KeyboardInterrupt):
            trainer.checkpointer.save(name)
    assert sorted(file for file in os.listdir(tmp_path) if "model" in file) == ["model_0000000.pth"]
    assert trainer.checkpointer.get_checkpoint_file().endswith("model_0000000.pth")
    assert "model" in torch.load(tmp_path / "model_0000000.pth", weights_only=True)


def test_an_interrupted_evaluation_leaves_its_iteration_to_resume_from(demo_store, tmp_path, monkeypatch):
    trainer = Trainer(make_cfg(demo_store, tmp_path, "TEST.EVAL_PERIOD", 2, "SOLVER.MAX_ITER", 4))
    trainer.resume_or_load(resume=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(Trainer, "test", lambda *args: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


def test_the_learning_rate_after_a_resume(demo_store, tmp_path, caplog):
    """It is the checkpoint's, or with the key the config's, at the same point of the schedule."""
    opts = ["DATASETS.TEST", [], "SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS", [2]]
    opts += ["SOLVER.MAX_ITER", 3, "SOLVER.BASE_LR", 0.001]
    train(demo_store, tmp_path, opts)
    (tmp_path / "model_final.pth").rename(tmp_path / "before.pth")
    opts += ["SOLVER.MAX_ITER", 5, "SOLVER.BASE_LR", 0.0002]
    for reset, base in ((False, 0.001), (True, 0.0002)):
        (tmp_path / "last_checkpoint").write_text("before.pth")
        trainer = Trainer(make_cfg(demo_store, tmp_path, *opts, "SOLVER.RESET_LR_ON_RESUME", reset))
        trainer.resume_or_load(resume=True)
        assert ("set SOLVER.RESET_LR_ON_RESUME to True" in caplog.text) != reset
        caplog.clear()
        assert trainer.scheduler.last_epoch == 3
        rates = [group["lr"] for group in trainer.optimizer.param_groups]
        assert rates == pytest.approx([0.1 * base] * len(rates))
        trainer.train()
        assert trainer.scheduler.base_lrs == [base] * len(trainer.optimizer.param_groups)
        assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * base)


def test_a_resume_behind_the_end_is_refused(demo_store, tmp_path):
    train(demo_store, tmp_path, ["DATASETS.TEST", []])
    trainer = Trainer(make_cfg(demo_store, tmp_path, "SOLVER.MAX_ITER", 2))
    with pytest.raises(ValueError, match=r"model_final\.pth has 3 iterations behind it, but MAX_ITER is 2"):
        trainer.resume_or_load(resume=True)
