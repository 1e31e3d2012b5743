import pytest
import torch

from kfashion_d2.engine import Trainer
from kfashion_d2.engine.hooks.finite_loss import NonFiniteLossError
from tests.engine.tiny_config import make_cfg


def fail_at(trainer, iteration, name="loss_attribute", value=float("nan")):
    """Let the model give a bad loss in this iteration; returns where the batch's ids will be."""
    seen = []

    def spoil(model, args, losses):
        if trainer.iter == iteration:
            seen.extend((x["file_name"], x["image_id"]) for x in args[0])
            return {**losses, name: losses[name] * value}

    trainer.model.register_forward_hook(spoil, prepend=True)
    return seen


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_loss_stops_with_its_images_before_the_step(demo_store, tmp_path, value):
    trainer = Trainer(make_cfg(demo_store, tmp_path, "DATASETS.TEST", []))
    trainer.resume_or_load(resume=False)
    seen = fail_at(trainer, 1, value=value)
    with pytest.raises(NonFiniteLossError) as error:
        trainer.train()
    message = str(error.value)
    assert len(seen) == 2
    assert all(f"{name} (image_id {image_id}, " in message for name, image_id in seen)
    assert message.startswith("at iteration 1 loss_attribute became")
    assert (f"loss_attribute {value}" in message and "loss_cls 0." in message) or "loss_cls 1." in message
    assert "All weights are finite" in message
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_weights_that_were_bad_before_are_named(demo_store, tmp_path):
    trainer = Trainer(make_cfg(demo_store, tmp_path, "DATASETS.TEST", []))
    trainer.resume_or_load(resume=False)
    with torch.no_grad():
        trainer.model.roi_heads.attribute_head.predictor.bias[0] = float("nan")
    with pytest.raises(NonFiniteLossError, match=r"not finite already: roi_heads\.attribute_head\.predictor\.bias\."):
        trainer.train()


def test_detectron2s_own_error_names_images_and_weights_too(demo_store, tmp_path):
    trainer = Trainer(make_cfg(demo_store, tmp_path, "DATASETS.TEST", []))
    trainer.resume_or_load(resume=False)
    images = []
    trainer.model.register_forward_pre_hook(lambda model, args: images.extend(x["file_name"] for x in args[0]))
    with torch.no_grad():
        trainer.model.proposal_generator.rpn_head.anchor_deltas.bias[0] = float("nan")
    with pytest.raises(NonFiniteLossError, match=r"contain Inf/NaN") as error:
        trainer.train()
    message = str(error.value)
    assert len(images) == 2 and all(name in message for name in images)
    assert "not finite already: proposal_generator.rpn_head.anchor_deltas.bias. " in message
    assert "SOLVER.RESET_LR_ON_RESUME True" in message
