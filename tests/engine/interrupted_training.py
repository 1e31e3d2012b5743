"""A training that ends in an iteration of the test's choice, in this process or in one of its own."""

import os
import signal

from detectron2.engine import hooks
from detectron2.utils.env import seed_all_rng

from kfashion_d2.engine import Trainer
from tests.engine.tiny_config import make_cfg


def train(store, output, opts, die_at=-1, die=lambda: os.kill(os.getpid(), signal.SIGKILL)):
    """Train, resuming what is in the output folder, until the iteration before which `die` is called."""
    seed_all_rng(1)  # the first weights, as default_setup does
    trainer = Trainer(make_cfg(store, output, *opts))
    trainer.register_hooks([hooks.CallbackHook(before_step=lambda trainer: trainer.iter == die_at and die())])
    trainer.resume_or_load(resume=True)
    trainer.train()
