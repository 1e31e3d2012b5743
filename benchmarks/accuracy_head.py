"""This module has an attribute head that only the ablation trains; importing it registers nothing."""

from __future__ import annotations

from kfashion_d2.modeling import ROI_ATTRIBUTE_HEAD_REGISTRY, AttributeHead

__all__ = ["AllProposalsAttributeHead", "register_head"]


class AllProposalsAttributeHead(AttributeHead):
    """This head, a step of the table, trains on the background too, with the labels of the garment nearest to it."""

    trains_on_background = True


def register_head() -> None:
    """Let configs name :class:`AllProposalsAttributeHead`, from the first call on."""
    if AllProposalsAttributeHead.__name__ not in ROI_ATTRIBUTE_HEAD_REGISTRY:
        ROI_ATTRIBUTE_HEAD_REGISTRY.register(AllProposalsAttributeHead)
