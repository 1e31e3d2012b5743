"""Mixed precision, and gradient clipping with and without it."""

import pytest
import torch
from detectron2.engine import AMPTrainer
from torch import nn

from kfashion_d2.engine import Trainer
from kfashion_d2.engine.setup import amp_precision
from tests.engine.tiny_config import make_cfg

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="mixed precision needs a CUDA device")


def test_it_is_refused_on_a_cpu(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path, "SOLVER.AMP.ENABLED", True)
    cfg.MODEL.DEVICE = "cpu"
    with pytest.raises(ValueError, match=r"AMP\.ENABLED is True and MODEL\.DEVICE 'cpu'"):
        Trainer(cfg)
    with pytest.raises(ValueError, match="'float8'; choose float16 or bfloat16"):
        amp_precision("float8", "cuda")


def test_precision_reaches_detectron2s_trainer(demo_store, tmp_path, monkeypatch):
    """Built as for a GPU; no step is taken."""
    monkeypatch.setattr("kfashion_d2.engine.trainer.amp_precision", lambda name, device: getattr(torch, name))
    for name, scaled in (("float16", True), ("bfloat16", False)):
        scalers = []
        monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled, seen=scalers: seen.append(enabled))
        cfg = make_cfg(demo_store, tmp_path, "SOLVER.AMP.ENABLED", True, "SOLVER.AMP.PRECISION", name)
        inner = Trainer(cfg)._trainer
        assert isinstance(inner, AMPTrainer) and inner.precision is getattr(torch, name)
        assert scalers == ([] if scaled else [False])


def losses_of_a_step(demo_store, tmp_path, *opts):
    opts = ["SOLVER.IMS_PER_BATCH", 8, "SOLVER.MAX_ITER", 1, "DATASETS.TEST", [], *opts]
    torch.manual_seed(0)
    trainer = Trainer(make_cfg(demo_store, tmp_path, *opts))
    trainer.resume_or_load(resume=False)
    trainer.train()
    return {name: loss.item() for name, loss in trainer.last_batch.losses.items()}


# The same weights and images; scores that differ in their last bits let other proposals be sampled.
CLOSE = {"rel": 0.05, "abs": 0.01}


@needs_cuda
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_losses_agree_with_float32(demo_store, tmp_path, precision):
    opts = ["MODEL.DEVICE", "cuda", "SOLVER.AMP.PRECISION", precision, "SOLVER.AMP.ENABLED"]
    expected = losses_of_a_step(demo_store, tmp_path, *opts, False)
    assert losses_of_a_step(demo_store, tmp_path, *opts, True) == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_losses_agree_with_float32_under_the_cpus_autocast(demo_store, tmp_path, precision):
    expected = losses_of_a_step(demo_store, tmp_path)
    with torch.autocast("cpu", dtype=precision):
        assert losses_of_a_step(demo_store, tmp_path) == pytest.approx(expected, **CLOSE)


@needs_cuda
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_training_goes_on_from_a_checkpoint(demo_store, tmp_path, precision):
    opts = ["MODEL.DEVICE", "cuda", "SOLVER.AMP.ENABLED", True, "SOLVER.AMP.PRECISION", precision]
    opts += ["SOLVER.EMA.ENABLED", True, "DATASETS.TEST", []]
    for resume, iterations in ((False, 3), (True, 5)):
        trainer = Trainer(make_cfg(demo_store, tmp_path, *opts, "SOLVER.MAX_ITER", iterations))
        trainer.resume_or_load(resume=resume)
        trainer.train()
    assert trainer.start_iter == 3 and trainer.iter == 5
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())


@pytest.mark.parametrize("scale", [None, 2.0**16])
@pytest.mark.parametrize("kind, value", [("value", 0.5), ("norm", 1.0)])
@pytest.mark.parametrize("name", ["SGD", "ADAMW"])
def test_gradients_are_clipped_unscaled(demo_store, tmp_path, name, kind, value, scale):
    """By hand: a weight's gradient of (3, -4), whose norm is 5, and a bias's of 0.2, which stays."""
    cfg = make_cfg(demo_store, tmp_path, "SOLVER.OPTIMIZER", name)
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = kind, value
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    net = nn.Linear(2, 1)
    optimizer = Trainer.build_optimizer(cfg, net)
    loss = (net.weight * torch.tensor([[3.0, -4.0]])).sum() + 0.2 * net.bias.sum()
    if scale is None:
        loss.backward()
        optimizer.step()
    else:  # as AMPTrainer does
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        scaler.scale(loss).backward()
        assert net.weight.grad[0, 0] == 3 * scale
        scaler.step(optimizer)
    expected = [0.5, -0.5] if kind == "value" else [0.6, -0.8]
    assert net.weight.grad[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert net.bias.grad.tolist() == pytest.approx([0.2])


def test_mixed_precision_may_begin_at_a_resume(demo_store, tmp_path, monkeypatch):
    trainer = Trainer(make_cfg(demo_store, tmp_path))
    trainer.checkpointer.save("model_0000001", iteration=1)
    monkeypatch.setattr("kfashion_d2.engine.trainer.amp_precision", lambda name, device: getattr(torch, name))
    cpu_scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    trainer = Trainer(make_cfg(demo_store, tmp_path, "SOLVER.AMP.ENABLED", True))
    trainer._trainer.grad_scaler = cpu_scaler
    trainer.resume_or_load(resume=True)
    assert cpu_scaler.get_scale() == 8.0
