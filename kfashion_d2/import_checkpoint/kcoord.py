"""
This module knows K-COORD's attribute layers (github.com/K-COORD/K-Fashion, `models/attributercnn.py`, `dataset.py`):
one linear layer for each group on the box head's features, output 0 "none", then the labels in the order of its lists.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ..modeling.kcoord_head import KCoordAttributeHead

__all__ = ["NEVER", "attribute_layers", "is_kcoord"]

# Logit of an output that their model does not have: as good as never, and still able to learn.
NEVER = -20.0
_PREFIX = "roi_heads.attribute_head.predictor."
_LAYER = re.compile(r"roi_heads\.box_predictor\.(\w+)_score\.(weight|bias)")

# Their layer -> our group, and the labels behind "none", as facts of their checkpoints.
_LABELS = {
    "material": (
        "material",
        "패딩 퍼 무스탕 스웨이드 앙고라 코듀로이 시퀸/글리터 데님 저지 트위드 벨벳 비닐/PVC 울/캐시미어 합성섬유 "
        "헤어_니트 니트 레이스 린넨 메시 플리스 네오프렌 실크 스판덱스 자카드 가죽 면 시폰 우븐",
    ),
    "shirt_sleeve": ("sleeve_length", "없음 민소매 반팔 캡 7부소매 긴팔"),
    "neckline": (
        "neckline",
        "라운드넥 유넥 브이넥 홀토넥 오프숄더 원_숄더 스퀘어넥 노카라 후드 터틀넥 보트넥 스위트하트",
    ),
    "collar": (
        "collar",
        "셔츠칼라 보우칼라 세일러칼라 숄칼라 폴로칼라 피터팬칼라 너치드칼라 차이나칼라 테일러칼라 밴드칼라",
    ),
    "fit": ("fit", "노멀 루즈 오버사이즈 스키니 와이드 타이트 벨보텀"),
}
_UNORDERED = (
    "K-COORD takes the order of its lengths from a set, which differs from run to run: nobody can tell them apart"
)


def is_kcoord(state: dict[str, Tensor]) -> bool:
    """Say whether a state dict has K-COORD's attribute layers."""
    return any(match and match[1] != "cls" for match in map(_LAYER.fullmatch, state))


def attribute_layers(
    state: dict[str, Tensor], head: torch.nn.Module
) -> tuple[dict[str, Tensor], dict[str, str], dict[str, str], list[str]]:
    """
    Turn K-COORD's layers into our head's.

    Args:
        state: K-COORD's.
        head: our model's attribute head.

    Returns:
        Our layer's `weight` and `bias` (none where the head has other layers); their names -> ours of what went in;
        their names -> the reason of what did not; notes on what has no counterpart.

    Raises:
        ValueError: a layer has not the size that K-COORD's lists give it; the message has both.
    """
    matches = {m[1]: m for m in map(_LAYER.fullmatch, state) if m and m[1] != "cls"}
    kinds = ("weight", "bias")
    names = {layer: [f"roi_heads.box_predictor.{layer}_score.{kind}" for kind in kinds] for layer in matches}
    if not isinstance(head, KCoordAttributeHead) or not isinstance(head.trunk, torch.nn.Identity):
        reason = (
            "an attribute layer of K-COORD's, which reads the box head's features; the config's attribute branch has "
            "other layers (configs/torchvision_kcoord_attribute_rcnn_R_50_FPN.yaml has the same)"
        )
        return {}, {}, {name: reason for pair in names.values() for name in pair}, []
    weight = torch.zeros_like(head.predictor.weight)
    bias = torch.full_like(head.predictor.bias, NEVER)
    sources: dict[str, str] = {}
    left_out: dict[str, str] = {}
    notes: list[str] = []
    groups = {group.name: position for group, position in zip(head.schema.groups, head.positions, strict=True)}
    filled = set()
    for layer, pair in names.items():
        ours, labels = _LABELS.get(layer, (None, ""))
        if ours not in groups:
            reason = _UNORDERED if layer == "sleeve" else f"no group of the config is K-COORD's {layer!r}"
            left_out.update(dict.fromkeys(pair, reason))
            continue
        theirs = [label.replace("_", " ") for label in labels.split()]
        w, b = (state[name].float() for name in pair)
        if w.shape != (len(theirs) + 1, weight.shape[1]):
            raise ValueError(
                f"{pair[0]} is {tuple(w.shape)}; K-COORD's {len(theirs)} labels and 'none' on our box head's features "
                f"make {(len(theirs) + 1, weight.shape[1])}"
            )
        group, outputs = head.schema.group(ours), groups[ours][1]
        rows = {0: outputs.start}
        for i, label in enumerate(theirs, start=1):
            index = group.index_of.find(label)
            if index is None:
                notes.append(f"{ours}: K-COORD's label {label!r} is none of ours: left out")
            else:
                rows[i] = outputs.start + 1 + index
        weight[list(rows.values())], bias[list(rows.values())] = w[list(rows)], b[list(rows)]
        missing = set(range(outputs.start, outputs.stop)) - set(rows.values())
        unknown = [group.labels[row - outputs.start - 1].name for row in sorted(missing)]
        if unknown:
            notes.append(f"{ours}: K-COORD has no {', '.join(unknown)}: never predicted until trained")
        sources.update({name: _PREFIX + name.rpartition(".")[2] for name in pair})
        filled.add(ours)
    for name in [name for name in groups if name not in filled]:
        # Nothing came for it: it begins as in a new model.
        columns = groups[name][1]
        weight[columns], bias[columns] = head.predictor.weight[columns].detach(), head.predictor.bias[columns].detach()
        notes.append(f"{name}: nothing was imported; it begins untrained")
    return {_PREFIX + "weight": weight, _PREFIX + "bias": bias}, sources, left_out, notes
