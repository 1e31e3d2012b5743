"""This module shortens the line of a training on the console."""

from __future__ import annotations

from detectron2.engine import default_writers
from detectron2.utils.events import CommonMetricPrinter, EventStorage, EventWriter, get_event_storage

__all__ = ["build_writers"]


class _WithoutAttributeCurves(EventStorage):
    """This event storage shares everything with another one, and hides the curves of the attribute groups."""

    def __init__(self, storage: EventStorage):
        self.__dict__ = storage.__dict__

    def histories(self):
        return {name: values for name, values in super().histories().items() if not name.startswith("attribute/")}


class ShortMetricPrinter(CommonMetricPrinter):
    """
    This writer prints Detectron2's line, which has every name with "loss" in it, without the attribute groups' own
    losses.
    """

    def write(self):
        with _WithoutAttributeCurves(get_event_storage()):
            super().write()


def build_writers(output_dir: str, max_iter: int) -> list[EventWriter]:
    """
    Build Detectron2's writers for the console, ``metrics.json`` and TensorBoard; the groups' curves are in the latter
    two.
    """
    writers = default_writers(output_dir, max_iter)
    return [ShortMetricPrinter(max_iter) if isinstance(w, CommonMetricPrinter) else w for w in writers]
