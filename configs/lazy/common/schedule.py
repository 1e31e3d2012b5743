"""The yaml configs' schedules: 180 000 and 540 000 iterations of 16 images."""

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler


def steps(first, second, end, warmup=1000):
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(values=[1.0, 0.1, 0.01], milestones=[first, second, end]),
        warmup_length=warmup / end,
        warmup_method="linear",
        warmup_factor=0.001,
    )


lr_multiplier_1x = steps(120000, 160000, 180000)
lr_multiplier_3x = steps(420000, 500000, 540000)
