"""
This module puts anchors exactly where torchvision's detectors have them, for weights that were trained with those.
"""

from __future__ import annotations

import torch
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY, DefaultAnchorGenerator
from torch import Tensor

__all__ = ["TorchvisionAnchorGenerator"]


@ANCHOR_GENERATOR_REGISTRY.register()
class TorchvisionAnchorGenerator(DefaultAnchorGenerator):
    """
    This is Detectron2's generator with torchvision's two roundings: anchors have whole pixels, and the distance between
    them is the padded picture's side divided by the map's, without remainder (a 800 pixels high picture has 13 rows in
    p6, 61 pixels apart where Detectron2 says 64). The offset is not read.
    """

    def generate_cell_anchors(self, sizes=(32, 64, 128, 256, 512), aspect_ratios=(0.5, 1, 2)):
        return super().generate_cell_anchors(sizes, aspect_ratios).round()

    def _grid_anchors(self, grid_sizes: list[list[int]]) -> list[Tensor]:
        # The finest map is exact: pictures are padded to whole cells of far coarser ones.
        height, width = (side * self.strides[0] for side in grid_sizes[0])
        anchors = []
        for (rows, columns), cell in zip(grid_sizes, self.cell_anchors, strict=True):
            y = torch.arange(rows, device=cell.device) * (height // rows)
            x = torch.arange(columns, device=cell.device) * (width // columns)
            shift_y, shift_x = torch.meshgrid(y, x, indexing="ij")
            shifts = torch.stack([shift_x, shift_y, shift_x, shift_y], dim=-1).reshape(-1, 1, 4)
            anchors.append((shifts + cell).reshape(-1, 4))
        return anchors
