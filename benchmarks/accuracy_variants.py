"""This module lists what the ablation compares: a config and overrides for each row of its table."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GROUPS", "VARIANTS", "Variant"]

GROUPS = ["material", "length", "sleeve_length", "neckline", "collar", "fit"]
"""K-COORD's six groups, which every row trains and is scored on."""

_KCOORD, _OURS = "quick/kcoord_attribute_rcnn_tiny.yaml", "quick/attribute_rcnn_tiny.yaml"
# The setting of K-COORD's recipe, for every row.
_SETTING = {"DATASETS.KFASHION.CLASSES": "category_or_part", "MODEL.ROI_HEADS.NUM_CLASSES": 25}
_HEAD = "MODEL.ROI_ATTRIBUTE_HEAD."


class Variant(NamedTuple):
    """
    A variant is a row of the table: its title, its config, and what differs from that.

    Attributes:
        steps: whether it continues the row above; else it is a single change of the default.
    """

    title: str
    config: str
    changes: dict[str, object]
    steps: bool

    @property
    def opts(self) -> list[object]:
        """Return KEY VALUE pairs over the config."""
        pairs = {f"{_HEAD}GROUPS": GROUPS, **_SETTING, **self.changes}
        return [word for pair in pairs.items() for word in pair]


# The losses without the ablation's choices.
_PLAIN: dict[str, object] = {
    f"{_HEAD}LOSS.SINGLE": "cross_entropy",
    f"{_HEAD}LOSS.TAU": 1.0,
    f"{_HEAD}MASK_IMPOSSIBLE": False,
}
_REPEAT: dict[str, object] = {
    "DATALOADER.SAMPLER_TRAIN": "AttributeRepeatFactorSampler",
    "DATALOADER.REPEAT_LABELS": GROUPS,
    "DATALOADER.REPEAT_THRESHOLD": 0.05,
}
_START: dict[str, object] = {
    **_PLAIN,
    f"{_HEAD}FEATURES": "box",
    f"{_HEAD}NUM_CONV": 0,
    f"{_HEAD}NUM_FC": 0,
    f"{_HEAD}LOSS_WEIGHT": 1 / len(GROUPS),  # the mean over the groups, as K-COORD's
}
_STEPS: dict[str, tuple[str, dict[str, object]]] = {
    "masking": ("+ unknown masked", {f"{_HEAD}NAME": "AllProposalsAttributeHead"}),
    "foreground": ("+ foreground only", {f"{_HEAD}NAME": "AttributeHead"}),
    "class": ("+ class conditioning", {f"{_HEAD}CLASS_EMBED_DIM": 32}),
    "trunk": ("+ own trunk", {f"{_HEAD}FEATURES": "own", f"{_HEAD}NUM_CONV": 1, f"{_HEAD}NUM_FC": 1}),
    "asymmetric": ("+ asymmetric loss", {f"{_HEAD}LOSS.MULTI": "asymmetric"}),
    "adjusted": ("+ logit adjustment, tau 1", {f"{_HEAD}LOSS.SINGLE": "logit_adjusted"}),
    "repeat": ("+ repeat factors", _REPEAT),
}
_CHANGES: dict[str, tuple[str, dict[str, object]]] = {
    "default": ("the default", {}),
    "default+asymmetric": ("with the asymmetric loss", {f"{_HEAD}LOSS.MULTI": "asymmetric"}),
    "default+asymmetric0.25": (
        "with it and LOSS_WEIGHT 0.25",
        {f"{_HEAD}LOSS.MULTI": "asymmetric", f"{_HEAD}LOSS_WEIGHT": 0.25},
    ),
    "default+class": ("with class conditioning", {f"{_HEAD}CLASS_EMBED_DIM": 32}),
    "default+prior": ("with the class prior", {f"{_HEAD}CLASS_PRIOR": True}),
    "default+repeat": ("with repeat factors", _REPEAT),
    "default+deep": ("with 4 convolutions on 14 x 14", {f"{_HEAD}NUM_CONV": 4, f"{_HEAD}POOLER_RESOLUTION": 14}),
    "plain": ("LOSS_WEIGHT 0.25, plain*", {**_PLAIN, f"{_HEAD}LOSS_WEIGHT": 0.25}),
    "plain+adjusted": (
        "the same + logit adjustment, tau 1",
        {**_PLAIN, f"{_HEAD}LOSS_WEIGHT": 0.25, f"{_HEAD}LOSS.SINGLE": "logit_adjusted"},
    ),
    "plain+weight1": ("LOSS_WEIGHT 1, plain*", {**_PLAIN, f"{_HEAD}LOSS_WEIGHT": 1.0}),
}


def _variants() -> dict[str, Variant]:
    variants = {"kcoord": Variant("K-COORD recipe", _KCOORD, {}, True)}
    changes = _START
    for name, (title, change) in _STEPS.items():
        changes = {**changes, **change}
        variants[name] = Variant(title, _OURS, changes, True)
    for name, (title, change) in _CHANGES.items():
        variants[name] = Variant(title, _OURS, change, False)
    return variants


VARIANTS = _variants()
