import copy

import pytest
import torch
from torch import nn

from kfashion_d2.checkpoint import KFashionCheckpointer
from kfashion_d2.engine import Trainer
from kfashion_d2.engine.hooks.ema import ModelEMA
from kfashion_d2.predictor import KFashionPredictor
from tests.engine.tiny_config import make_cfg


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("counts", torch.tensor([3, 5]))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("parts", torch.tensor([1, 2]), persistent=False)

    def forward(self, x):
        return self.norm(self.layer(x))


@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_by_a_slow_loop(warmup):
    torch.manual_seed(0)
    net = Net()
    ema = ModelEMA(net, 0.5, warmup=warmup)
    expected = None
    for n in range(4):
        with torch.no_grad():
            net.layer.weight.copy_(torch.randn(2, 3))
        net.train()(torch.randn(8, 3))
        net.counts += 2
        ema.update_parameters(net)
        now = {name: x.clone() for name, x in net.state_dict().items()}
        keep = min(0.5, (1 + n) / (10 + n)) if warmup else 0.5
        if expected is None:
            expected = now
        for name, x in now.items():
            expected[name] = keep * expected[name] + (1 - keep) * x if x.is_floating_point() else x
    for name, x in ema.module.state_dict().items():
        assert torch.allclose(x.float(), expected[name].float(), atol=1e-6), name
        assert x.dtype == net.state_dict()[name].dtype
    assert ema.module.norm.num_batches_tracked == 4  # whole numbers are copied, not averaged to fractions
    assert ema.module.parts.tolist() == [1, 2] and ema.module.mask.tolist() == [True, False]
    assert not any(p.requires_grad for p in ema.parameters()) and all(p.requires_grad for p in net.parameters())


def test_a_decay_that_is_no_share():
    with pytest.raises(ValueError, match=r"DECAY is 1\.0"):
        ModelEMA(Net(), 1.0)


def test_checkpoints_hold_both_and_everyone_gets_the_right_one(tmp_path):
    net, trainer = Net(), nn.Linear(1, 1)
    ema = ModelEMA(net, 0.5)
    ema.update_parameters(net)
    with torch.no_grad():
        net.layer.bias += 1
    ema.update_parameters(net)
    raw, average = copy.deepcopy(net.state_dict()), copy.deepcopy(ema.module.state_dict())
    assert not torch.equal(raw["layer.bias"], average["layer.bias"])
    KFashionCheckpointer(net, str(tmp_path), ema=ema, trainer=trainer).save("model")
    file = str(tmp_path / "model.pth")

    def load(resume, with_ema, with_trainer):
        fresh = Net()
        fresh_ema = ModelEMA(fresh, 0.5) if with_ema else None
        extra = {"trainer": nn.Linear(1, 1)} if with_trainer else {}
        checkpointer = KFashionCheckpointer(fresh, str(tmp_path), ema=fresh_ema, **extra)
        checkpointer.resume_or_load(file, resume=resume)
        return fresh.state_dict()["layer.bias"], fresh_ema

    bias, fresh_ema = load(resume=True, with_ema=True, with_trainer=True)  # a training goes on
    assert torch.equal(bias, raw["layer.bias"])
    assert torch.equal(fresh_ema.module.state_dict()["layer.bias"], average["layer.bias"])
    assert fresh_ema.n_averaged == 2
    bias, _ = load(resume=True, with_ema=False, with_trainer=True)  # and goes on without an average
    assert torch.equal(bias, raw["layer.bias"])
    bias, fresh_ema = load(resume=False, with_ema=True, with_trainer=True)  # fine-tuning
    assert torch.equal(bias, average["layer.bias"]) and fresh_ema.n_averaged == 0
    # An average that begins now is what was loaded, not what was drawn: it may be evaluated before the first step.
    assert torch.equal(fresh_ema.module.state_dict()["layer.bias"], average["layer.bias"])
    for resume in (True, False):  # --eval-only, with and without --resume
        bias, _ = load(resume=resume, with_ema=False, with_trainer=False)
        assert torch.equal(bias, average["layer.bias"])


def test_training_evaluates_and_predicts_with_the_average(demo_store, tmp_path, monkeypatch):
    cfg = make_cfg(demo_store, tmp_path, "SOLVER.EMA.ENABLED", True, "SOLVER.EMA.DECAY", 0.9, "SOLVER.BASE_LR", 0.01)
    tested = []
    monkeypatch.setattr(Trainer, "test", classmethod(lambda cls, cfg, model: tested.append(model) or {}))
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    name = "roi_heads.attribute_head.predictor.weight"
    average = trainer.ema.module.state_dict()[name]
    assert tested == [trainer.ema.module]
    assert trainer.ema.n_averaged == 3
    assert not torch.equal(average, trainer.model.state_dict()[name])
    cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    assert torch.equal(KFashionPredictor(cfg).model.state_dict()[name], average)
    cfg.TEST.PRECISE_BN.ENABLED = True
    with pytest.raises(ValueError, match="PRECISE_BN"):
        Trainer(cfg)
