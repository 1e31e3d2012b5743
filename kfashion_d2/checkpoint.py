"""This module has checkpoints that know their vocabulary, and hold nothing but tensors and plain Python values."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager
from torch import nn
from torch.optim.swa_utils import AveragedModel

from .evaluation import Calibration
from .schema import AttributeSchema
from .utils.files import new_path

__all__ = [
    "KFashionCheckpointer",
    "add_calibration",
    "check_weights_file",
    "find_weights",
    "read_checkpoint",
    "schema_entry",
    "to_plain",
]

SCHEMA_KEY = "kfashion_schema"
CALIBRATION_KEY = "kfashion_calibration"
MAX_NAMES = 5


def schema_entry(schema: AttributeSchema) -> dict[str, Any]:
    """Return the entry of a checkpoint that tells its vocabulary."""
    return {
        SCHEMA_KEY: {
            "name": schema.name,
            "version": schema.version,
            "hash": schema.hash,
            "groups": list(schema.group_names),
        }
    }


def to_plain(value: Any) -> Any:
    """Turn NumPy scalars, wherever they are, into Python numbers: torch.load refuses them from version 2.6 on."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return type(value)((key, to_plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(to_plain(item) for item in value)
    return value


class _WholeFiles:
    """This path manager gives local files their name when they are complete: a kill leaves the old one or the new."""

    def __init__(self, path_manager: Any):
        self._path_manager = path_manager

    def __getattr__(self, name: str) -> Any:
        return getattr(self._path_manager, name)

    def open(self, path: str, mode: str = "r", **kwargs: Any) -> Any:
        if "w" in mode and "://" not in path:
            return self._new_file(path, mode)
        return self._path_manager.open(path, mode, **kwargs)

    @contextmanager
    def _new_file(self, path: str, mode: str) -> Iterator[IO]:
        with new_path(path, one_writer=True) as temporary, open(temporary, mode) as file:
            yield file


class KFashionCheckpointer(DetectionCheckpointer):
    """
    This is Detectron2's checkpointer; it saves the schema of the attribute branch, and refuses a checkpoint made with
    another one. Checkpoints without a schema (the model zoo's) load as ever. Local files are written whole or not at
    all. A calibration (:func:`add_calibration`) goes to the attribute head, which then gives calibrated scores, and
    from it into what is saved.

    With an average of the weights, `model` in the checkpoint is the average, which was evaluated, and `raw_model` the
    weights that train on: whoever loads a model predicts with the average, a training that resumes has both.

    Attributes:
        ema (AveragedModel | None): the average to save and to resume.
    """

    def __init__(self, model: Any, save_dir: str = "", *, ema: AveragedModel | None = None, **kwargs: Any):
        super().__init__(model, save_dir, **kwargs)
        self.path_manager = _WholeFiles(self.path_manager)
        self.ema = ema
        self._tags = True
        self._resumes = False

    @property
    def _schema(self) -> AttributeSchema | None:
        return getattr(getattr(self.model, "roi_heads", None), "attribute_schema", None)

    @property
    def _attribute_head(self) -> nn.Module | None:
        return getattr(getattr(self.model, "roi_heads", None), "attribute_head", None)

    def save(self, name: str, *, tag: bool = True, **kwargs: Any) -> None:
        """
        Save a checkpoint.

        Args:
            tag: make it the one to resume from.
            kwargs: plain values to save beside the model.
        """
        kwargs = {**{key: obj.state_dict() for key, obj in self.checkpointables.items()}, **kwargs}
        models = {}
        if self.ema is not None:
            models = {"model": self.ema.module.state_dict(), "raw_model": self.model.state_dict()}
            kwargs["ema_updates"] = int(self.ema.n_averaged)
        schema = self._schema
        if schema is not None:
            kwargs |= schema_entry(schema)
        calibration = getattr(self._attribute_head, "calibration", None)
        if calibration is not None:
            kwargs[CALIBRATION_KEY] = calibration.to_dict()
        self._tags = tag
        super().save(name, **to_plain(kwargs), **models)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        if self._tags:
            super().tag_last_checkpoint(last_filename_basename)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        # A training resumes where its own state is loaded too; everything else starts from what was evaluated.
        self._resumes = bool(self.checkpointables) and checkpointables is None
        with _named_download_errors(path):
            rest = super().load(path, checkpointables)
        average, updates = rest.pop("average", None), rest.pop("ema_updates", 0)
        if self.ema is not None:
            # Without an average it begins anew, from these weights: it may be evaluated before its first update.
            self.ema.module.load_state_dict(self.model.state_dict() if average is None else average)
            self.ema.n_averaged.fill_(0 if average is None else updates)
            if hasattr(self._attribute_head, "calibration"):
                self.ema.module.roi_heads.attribute_head.calibration = self._attribute_head.calibration
        return rest

    def _load_model(self, checkpoint: Any) -> Any:
        """
        Load a checkpoint into the model.

        Raises:
            ValueError: the checkpoint was made with another schema; the message gives both hashes and the remedy. Or
                the model is not to be trained on, and layers of it, which would stay as they were drawn, are not in the
                checkpoint or have other shapes there.
        """
        saved, schema = checkpoint.pop(SCHEMA_KEY, None), self._schema
        calibration = checkpoint.pop(CALIBRATION_KEY, None)
        if saved and schema is not None and saved["hash"] != schema.hash:
            raise ValueError(
                f"the checkpoint {self._file} was made with schema {saved['hash']} "
                f"(groups {', '.join(map(str, saved['groups']))}), this config trains schema {schema.hash} "
                f"(groups {', '.join(schema.group_names)}). Set MODEL.ROI_ATTRIBUTE_HEAD.GROUPS, "
                "DATASETS.KFASHION.CLASSES and DATASETS.KFASHION.SCHEMA as they were for the checkpoint"
            )
        incompatible = super()._load_model(checkpoint)
        if saved and not self.checkpointables and incompatible.incorrect_shapes:
            shapes = "; ".join(f"{name} {tuple(a)} and {tuple(b)}" for name, a, b in incompatible.incorrect_shapes[:5])
            raise ValueError(
                f"the checkpoint {self._file} and the model of this config have layers of other shapes: {shapes}. Set "
                "the config and DATASETS.KFASHION.CLASSES as they were for the checkpoint"
            )
        random = [] if self.checkpointables else _layers_of(incompatible.missing_keys)
        if random:
            more = f" and {len(random) - MAX_NAMES} more" if len(random) > MAX_NAMES else ""
            raise ValueError(
                f"the checkpoint {self._file} has no weights for {', '.join(random[:MAX_NAMES])}{more}, which would "
                "stay random: name a checkpoint of this config, or set the config as it was for this checkpoint"
            )
        head = self._attribute_head
        if head is not None and schema is not None:
            # Weights without one end what the weights before them had.
            head.calibration = None if calibration is None else Calibration.from_dict(calibration, schema)
        return incompatible

    def _load_file(self, filename: str) -> Any:
        self._file = filename
        with _named_load_errors(filename):
            loaded = super()._load_file(filename)
        raw = loaded.pop("raw_model", None)
        if raw is not None and self._resumes:
            loaded["average"], loaded["model"] = loaded["model"], raw
        return loaded


def _layers_of(names: Sequence[str]) -> list[str]:
    """List the layers of parameters and buffers, each once, without what a prediction does not read."""
    unread = ("roi_heads.attribute_head.criterion.", "roi_heads.attribute_head.prior.", "style_head.counts")
    names = [name for name in names if not name.startswith(unread) and not name.endswith("num_batches_tracked")]
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def find_weights(cfg: CfgNode) -> str:
    """
    Return ``MODEL.WEIGHTS``, without which a model has nothing to predict with.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the key is empty, or the file is no checkpoint.
    """
    weights = cfg.MODEL.WEIGHTS
    if not weights:
        raise ValueError("MODEL.WEIGHTS is empty: name the checkpoint, as in MODEL.WEIGHTS output/model_final.pth")
    check_weights_file(weights)
    return weights


def check_weights_file(weights: str) -> None:
    """
    Refuse, by a look at its ends, a local file that is no checkpoint or that was cut off.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither a ``.pth`` nor a ``.pkl`` file as PyTorch and Detectron2 write them.
    """
    if "://" in weights:
        return
    if not PathManager.isfile(weights):
        raise FileNotFoundError(f"MODEL.WEIGHTS {weights}: no such file")
    path = Path(PathManager.get_local_path(weights))
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == b"\x80" or zipfile.is_zipfile(path):  # a pickle, or what torch.save writes
        return
    reason = "is cut off" if start == b"PK" else "is no checkpoint"
    raise ValueError(
        f"MODEL.WEIGHTS {weights} {reason}: name a .pth file of a training, or a .pkl file of the model zoo"
    )


@contextmanager
def _named_load_errors(path: str | Path) -> Iterator[None]:
    """Say of what cannot be unpickled which file it is."""
    try:
        yield
    except (pickle.UnpicklingError, EOFError, KeyError, RuntimeError, UnicodeDecodeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path} cannot be read: it is cut off, or no checkpoint ({reason})") from error


@contextmanager
def _named_download_errors(path: str) -> Iterator[None]:
    """Say of a download that failed what was wanted, and how to go without it."""
    try:
        yield
    except OSError as error:
        if not path or "://" not in path:
            raise
        raise OSError(
            f"cannot download MODEL.WEIGHTS {path} ({error}): name a local file, or begin from random weights with "
            'MODEL.WEIGHTS ""'
        ) from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """
    Read what :class:`KFashionCheckpointer` saved, on the CPU.

    Raises:
        FileNotFoundError: there is no such file on this machine.
        ValueError: it holds no schema.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file on this machine")
    with _named_load_errors(path):
        data = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(data, dict) or SCHEMA_KEY not in data:
        raise ValueError(f"{path} holds no {SCHEMA_KEY!r}: it was not saved by this package's Trainer")
    return data


def add_calibration(checkpoint: str | Path, calibration: Calibration, output: str | Path | None = None) -> Path:
    """
    Write a calibration into a checkpoint, in place of one that is there; all else in it stays, so training resumes from
    it as before. The file is there as a whole or not at all.

    Args:
        checkpoint: a ``.pth`` file that :class:`KFashionCheckpointer` saved.
        output: the file to write; None: the checkpoint itself.

    Returns:
        Path: the file written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint of ours, or was made with another schema.
    """
    data = read_checkpoint(checkpoint)
    if data[SCHEMA_KEY]["hash"] != calibration.schema.hash:
        raise ValueError(
            f"{checkpoint} was made with schema {data[SCHEMA_KEY]['hash']}, the calibration with "
            f"{calibration.schema.hash}: tune it with the config that the checkpoint was trained with"
        )
    data[CALIBRATION_KEY] = to_plain(calibration.to_dict())
    target = Path(checkpoint if output is None else output)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _WholeFiles(PathManager).open(str(target), "wb") as file:
        torch.save(data, file)
    return target
