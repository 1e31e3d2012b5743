"""Detectron2's common keys of a training, and ours; docs/training.md tells what they do."""

from detectron2 import model_zoo

train = model_zoo.get_config("common/train.py").train
train.update(
    max_iter=180000,
    eval_period=20000,
    # Of the weights, the data's order and what steps sample. Negative: drawn.
    seed=-1,
    # The keys below are read by this repository's tools/lazyconfig_train_net.py alone.
    reset_lr_on_resume=False,
    ema=dict(enabled=False, decay=0.9998, warmup=True),
    best=dict(metric="", mode="max", patience=0, min_delta=0.0),
    clip_gradients=dict(enabled=False, clip_type="value", clip_value=1.0, norm_type=2.0),
)
train.amp.precision = "float16"
