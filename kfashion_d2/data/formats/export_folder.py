"""
This module replaces an earlier export by a new one, and nothing else.

A folder of an export holds a marker, `.kfashion_d2_export.json`, which names the format and, split by split, the store
and every file written. A new export is written beside the old one and moved into place when it is complete.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ...utils.files import write_file
from ...utils.output_folder import check_output_folder
from ..store.dataset import KFashionDataset
from ..store.writer import data_folders

__all__ = ["MARKER", "ExportFolder", "check_export_file", "new_export"]

logger = logging.getLogger(__name__)

MARKER = ".kfashion_d2_export.json"
_PARTIAL = ".kfashion_d2_export.partial"
_OUR_JSON = b'{\n"info": {"description":"K-Fashion, '  # how our COCO and Fashionpedia files begin


class ExportFolder(NamedTuple):
    """
    An export folder is where a new export is written until it is complete.

    Attributes:
        partial: write here.
        final: what `partial` holds will lie here.
        splits: names of all splits that the folder will hold, sorted; the new one is among them.
    """

    partial: Path
    final: Path
    splits: list[str]


def check_export_file(output: str | Path, dataset: KFashionDataset) -> None:
    """
    Refuse to write a JSON export over anything but an earlier one.

    Raises:
        ValueError: a folder, another file or a file in the store stands at `output`.
    """
    path = Path(output)
    if path.is_dir():
        raise ValueError(f"{output} is a folder: this format is one file, as in {path / 'val.json'}")
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(dataset.split_dir)):
        raise ValueError(f"{output} lies inside {dataset.split_dir}, which is read: give an output outside of it")
    if path.is_file():
        with open(path, "rb") as file:
            head = file.read(len(_OUR_JSON))
        if head and head != _OUR_JSON:
            raise ValueError(f"{output} is not an export of this tool: give another output, or remove it")


@contextmanager
def new_export(
    output: str | Path, name: str, dataset: KFashionDataset, *, join: bool = False
) -> Iterator[ExportFolder]:
    """
    Give a folder to write an export to, which takes the place of an earlier one when the block ends without an error.
    Files in `output` that no export wrote stay.

    Args:
        output: the export's folder.
        name: of the format.
        dataset: the split that is exported.
        join: whether other splits of the same format may lie in the folder. One stays, unless it is of another store
            and shares images with this split, as after a new division: then it is of an earlier export and goes.

    Raises:
        ValueError: `output` holds files but no export, lies inside or around the data, or a file of the new export
            would replace one that no export wrote.
    """
    final, split = Path(output).resolve(), dataset.split_dir.resolve().name
    partial = final / _PARTIAL
    check_output_folder(output, marker=_is_export, sources=data_folders([dataset]))
    earlier = _read_marker(final)
    others: dict[str, Any] = earlier["splits"] if join and earlier["format"] == name else {}
    ids = {str(i) for i in dataset.image_ids.tolist()}
    kept = {key: facts for key, facts in others.items() if key != split and not _is_stale(key, facts, dataset, ids)}
    is_new = not final.exists()
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield ExportFolder(partial, final, sorted({*kept, split}))
        files = sorted(_files(partial))
        facts = {"store": str(dataset.split_dir.resolve()), "store_hash": dataset.store_hash, "files": files}
        _move(partial, final, files, earlier, {"format": name, "splits": {**kept, split: facts}})
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if is_new and not os.listdir(final):
            final.rmdir()


def _is_export(folder: Path) -> bool:
    """Say whether an export lies in a folder, or what a first one left that was killed."""
    return (folder / MARKER).is_file() or os.listdir(folder) == [_PARTIAL]


def _read_marker(folder: Path) -> dict[str, Any]:
    """Read what an earlier export wrote; nothing where there was none."""
    if not (folder / MARKER).is_file():
        return {"format": "", "splits": {}}
    try:
        marker = orjson.loads((folder / MARKER).read_bytes())
        files = _all_files(marker)
        assert all(isinstance(file, str) and not os.path.isabs(file) and ".." not in file.split("/") for file in files)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / MARKER} is damaged ({error!r}): remove the folder, or give another one") from error
    return marker


def _all_files(marker: dict[str, Any]) -> set[str]:
    return {file for facts in marker["splits"].values() for file in facts["files"]}


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name).relative_to(folder).as_posix()


def _is_stale(split: str, facts: dict[str, Any], dataset: KFashionDataset, ids: set[str]) -> bool:
    """Say whether another split in the folder is of an earlier division of the images; see :func:`new_export`."""
    store = Path(facts["store"])
    meta = store / "meta.json"
    is_beside = store.parent == dataset.split_dir.resolve().parent and meta.is_file()
    if is_beside and orjson.loads(meta.read_bytes()).get("store_hash") == facts["store_hash"]:
        return False
    shared = len({os.path.splitext(os.path.basename(file))[0] for file in facts["files"]} & ids)
    if shared:
        logger.warning(
            "The export's split %s is of %s and shares %d images with %s: it goes",
            split,
            store,
            shared,
            dataset.split_dir,
        )
    return shared > 0


def _move(partial: Path, final: Path, files: list[str], earlier: dict[str, Any], marker: dict[str, Any]) -> None:
    """Put the files in place and remove what is left of the earlier export. The marker knows all files at any time."""
    old = _all_files(earlier)
    for file in files:
        if file not in old and os.path.lexists(final / file):
            raise ValueError(f"{final / file} is of no earlier export: move it away, or give another output")
    both = {"format": marker["format"], "splits": {**earlier["splits"], **marker["splits"]}}
    both["splits"]["."] = {"store": "", "store_hash": "", "files": sorted(old)}
    write_file(final / MARKER, orjson.dumps(both))
    gone = old - _all_files(marker)
    for file in gone:
        (final / file).unlink(missing_ok=True)
    for file in files:
        (final / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial / file, final / file)
    _remove_empty(final, gone)
    write_file(final / MARKER, orjson.dumps(marker))


def _remove_empty(folder: Path, files: Iterable[str]) -> None:
    """Remove the folders that are empty now that the files are gone."""
    parents = {parent for file in files for parent in Path(file).parents} - {Path(".")}
    for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
        if (folder / parent).is_dir() and not os.listdir(folder / parent):
            (folder / parent).rmdir()
