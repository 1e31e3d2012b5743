"""The line of a training on the console."""

from __future__ import annotations

from unittest import mock

from detectron2.engine import default_writers
from detectron2.utils.events import CommonMetricPrinter, EventWriter, get_event_storage

__all__ = ["build_writers"]


class ShortMetricPrinter(CommonMetricPrinter):
    """Detectron2's line, which has every name with "loss" in it, without the attribute groups' own."""

    def write(self):
        storage = get_event_storage()
        shown = {name: history for name, history in storage.histories().items() if not name.startswith("attribute/")}
        with mock.patch.object(storage, "histories", return_value=shown):
            super().write()


def build_writers(output_dir: str, max_iter: int) -> list[EventWriter]:
    """Detectron2's for the console, ``metrics.json`` and TensorBoard; the groups' curves are in the latter two."""
    writers = default_writers(output_dir, max_iter)
    return [ShortMetricPrinter(max_iter) if isinstance(w, CommonMetricPrinter) else w for w in writers]
