"""
This module checks a foreign state dict against our model, tensor by tensor, and writes it as a checkpoint of ours.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from torch import Tensor, nn

from ..checkpoint import schema_entry
from ..utils.files import new_path, write_file
from .kcoord import NEVER, attribute_layers, is_kcoord
from .names import CLASS_LAYERS, derived, our_name, reason_to_leave_out

__all__ = ["ImportedWeights", "import_checkpoint", "import_state_dict", "read_state_dict"]

logger = logging.getLogger(__name__)

_OUR_EPS = 1e-5  # of FrozenBatchNorm2d


@dataclass(frozen=True)
class ImportedWeights:
    """
    This is what came out of an import.

    Attributes:
        tensors: our name -> tensor.
        sources: their name -> our name.
        left_out: their name -> why it was not imported.
        fresh: names of our model that nothing was imported for: they begin as in a new model.
        notes: what else a reader should know.
    """

    tensors: dict[str, Tensor] = field(repr=False)
    sources: dict[str, str] = field(repr=False)
    left_out: dict[str, str] = field(repr=False)
    fresh: list[str] = field(repr=False)
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: `imported` {theirs: ours}, `left_out` {theirs: reason}, `fresh` and `notes`."""
        return {"imported": self.sources, "left_out": self.left_out, "fresh": self.fresh, "notes": self.notes}


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """
    Read a file's state dict: the file itself, or its entry `model_state_dict` (K-COORD, Match R-CNN), `state_dict` or
    `model`; without the prefix `module.` that DataParallel adds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read without running code from it, or holds no state dict.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        what = str(error).splitlines()[0]
        raise ValueError(f"{path} is no file of tensors and plain values ({what}): save a state_dict()") from error
    for key in ("model_state_dict", "state_dict", "model"):
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            data = data[key]
    if not isinstance(data, Mapping) or not any(isinstance(value, Tensor) for value in data.values()):
        raise ValueError(f"{path} holds no state dict, neither itself nor as model_state_dict, state_dict or model")
    return {name.removeprefix("module."): value for name, value in data.items() if isinstance(value, Tensor)}


def import_state_dict(
    state: Mapping[str, Tensor], model: nn.Module, *, new_class_layers: bool = False, frozen_bn_eps: float | None = None
) -> ImportedWeights:
    """
    Bring torchvision's R-CNN weights (with ResNet and FPN; K-COORD's and Match R-CNN's among them) into the names and
    layouts of a model of ours, which is only looked at. Every tensor of theirs is imported or has its reason in
    `left_out`, and all of the model but its attribute branch is filled.

    - Classes: their row 0, the background, becomes the last of the classifier, and leaves the box regression and the
      masks. K-COORD's row 0 is background and "top" at once: it becomes the background, and "top" is never predicted
      until trained.
    - Frozen batch norms: Detectron2 adds 1e-5 to the variance. Theirs added `frozen_bn_eps`; the difference goes
      into the variances, so the layer computes the same.

    Args:
        state: as :func:`read_state_dict` gives it.
        model: a GeneralizedRCNN of Detectron2, built from the config that the weights are for.
        new_class_layers: leave the layers out whose outputs are classes: of weights with other classes.
        frozen_bn_eps: None: 1e-5 of a model that has torchvision's names since 0.13, or batch norms that trained; else
            0, as torchvision's frozen ones had it before 0.9 (K-COORD's 0.8.2), and its COCO_V1 weights ever since.

    Raises:
        ValueError: shapes do not fit, our model has not what the checkpoint has, or the checkpoint lacks what our
            model has; the message lists all names, with both shapes.
    """
    kcoord = is_kcoord(dict(state))
    deep_rpn = "rpn.head.conv.1.0.weight" in state
    model_state = model.state_dict()
    eps = _frozen_eps(state) if frozen_bn_eps is None else frozen_bn_eps
    tensors: dict[str, Tensor] = {}
    sources: dict[str, str] = {}
    left_out: dict[str, str] = {}
    notes: list[str] = []
    wrong: list[str] = []
    if kcoord:
        tensors, sources, left_out, notes = attribute_layers(dict(state), model.roi_heads.attribute_head)
    for name, tensor in state.items():
        if name in sources or name in left_out:
            continue
        ours, reason = our_name(name, deep_rpn=deep_rpn), reason_to_leave_out(name)
        if ours not in model_state and reason is not None:
            left_out[name] = reason
        elif ours is None:
            wrong.append(f"{name} {tuple(tensor.shape)}: no parameter of a torchvision Faster or Mask R-CNN with FPN")
        elif ours.startswith("roi_heads.mask_head.") and ours not in model_state and not model.roi_heads.mask_on:
            left_out[name] = "the mask head; the config has MODEL.MASK_ON False"
        elif ours.startswith(CLASS_LAYERS) and new_class_layers:
            left_out[name] = "its outputs are classes, and the class layers are to be new"
        elif ours not in model_state:
            wrong.append(f"{name} {tuple(tensor.shape)}: the config's model has no {ours}")
        else:
            value = _class_rows(ours, tensor, kcoord) if ours.startswith(CLASS_LAYERS) else tensor
            if value.shape != model_state[ours].shape:
                wrong.append(f"{name} {tuple(tensor.shape)} does not fit {ours} {tuple(model_state[ours].shape)}")
            tensors[ours], sources[name] = value.to(model_state[ours].dtype).clone(), ours
    missing = [name for name in model_state if name not in tensors and not derived(name)]
    fresh = [name for name in missing if _may_be_fresh(name, new_class_layers)]
    wrong += [f"nothing for {name} {tuple(model_state[name].shape)}" for name in missing if name not in fresh]
    if wrong:
        raise ValueError(
            "the checkpoint does not fit the model of the config (of configs/, torchvision_*.yaml are torchvision's "
            "models; for other classes than the checkpoint's, ask for new class layers):\n  " + "\n  ".join(wrong)
        )
    frozen = {f"{name}.running_var" for name, layer in model.named_modules() if isinstance(layer, FrozenBatchNorm2d)}
    if eps != _OUR_EPS:
        for name in frozen & set(tensors):
            tensors[name] += eps - _OUR_EPS
    if frozen:
        notes.append(f"frozen batch norms had eps {eps:g}" + ("" if eps == _OUR_EPS else ": 1e-5 less in running_var"))
    if kcoord and not new_class_layers:
        notes.append("class 0 shares its output with the background in K-COORD: it is never predicted until trained")
    return ImportedWeights(tensors, sources, left_out, fresh, notes)


def _frozen_eps(state: Mapping[str, Tensor]) -> float:
    trained = "backbone.body.bn1.num_batches_tracked" in state
    new_names = "backbone.fpn.inner_blocks.0.0.weight" in state
    return _OUR_EPS if trained or new_names else 0.0


def _class_rows(ours: str, tensor: Tensor, kcoord: bool) -> Tensor:
    if kcoord:
        # Their row i is our class i already; row 0 is the background's.
        if "cls_score" in ours:
            first = torch.full_like(tensor[:1], NEVER if tensor.dim() == 1 else 0)
            return torch.cat([first, tensor[1:], tensor[:1]])
        return torch.cat([torch.zeros_like(tensor[:4]), tensor[4:]]) if "bbox_pred" in ours else tensor
    if "cls_score" in ours:
        return torch.cat([tensor[1:], tensor[:1]])
    return tensor[4:] if "bbox_pred" in ours else tensor[1:]


def _may_be_fresh(name: str, new_class_layers: bool) -> bool:
    if name.startswith("roi_heads.attribute_head.") or name.endswith("num_batches_tracked"):
        return True
    return new_class_layers and name.startswith(CLASS_LAYERS)


def import_checkpoint(
    cfg: CfgNode,
    source: str | Path,
    output: str | Path,
    *,
    new_class_layers: bool = False,
    frozen_bn_eps: float | None = None,
) -> ImportedWeights:
    """
    Write a checkpoint of ours with another project's weights, for ``MODEL.WEIGHTS``; beside it ``<name>_import.json``,
    which says where every tensor went, or why it went nowhere.

    Args:
        cfg: of the model that the weights are for.
        source: see :func:`read_state_dict`.
        output: the ``.pth`` file to write.
        new_class_layers, frozen_bn_eps: see :func:`import_state_dict`.

    Raises:
        FileNotFoundError, ValueError: as those two.
    """
    output = Path(output)
    if output.suffix != ".pth":
        raise ValueError(f"{output}: Detectron2 reads what ends in .pth; name it so")
    state = read_state_dict(source)
    model = build_model(cfg)
    imported = import_state_dict(state, model, new_class_layers=new_class_layers, frozen_bn_eps=frozen_bn_eps)
    content: dict[str, Any] = {"model": imported.tensors}
    if any(name.startswith("roi_heads.attribute_head.") for name in imported.tensors):
        content |= schema_entry(model.roi_heads.attribute_schema)  # its rows have a meaning
    output.parent.mkdir(parents=True, exist_ok=True)
    with new_path(output, one_writer=True) as temporary:
        torch.save(content, temporary)
    report = {"source": str(source), "frozen_bn_eps": frozen_bn_eps, **imported.to_dict()}
    report_file = output.with_name(f"{output.stem}_import.json")
    write_file(report_file, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
    logger.info(f"Wrote {output}, and where each tensor went into {report_file}")
    return imported
