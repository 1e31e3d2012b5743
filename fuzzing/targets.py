"""This module holds the fuzzer's targets: functions of bytes that raise where a promise is broken."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from kfashion_d2.data.conversion.convert import convert_dataset
from kfashion_d2.data.conversion.fast_parser import FastParser
from kfashion_d2.data.formats.coco import export_coco
from kfashion_d2.data.formats.coco_import import import_coco
from kfashion_d2.data.store.dataset import KFashionDataset
from kfashion_d2.schema import kfashion_schema

from .archives import base_archives, patch_archive, zip_bytes
from .checks import check_annotation, check_archive, check_conversion, check_fast_parser, check_split, garments_in
from .choices import Choices, base_annotations, mutate, mutate_annotation

__all__ = ["TARGETS", "seeds"]

SOUND_ID = 4_000_000_001
STYLES = ("모던", "기타")


@cache
def _parser() -> FastParser:
    return FastParser(kfashion_schema())


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="kfashion-fuzz-"))


def clean_up() -> None:
    """Remove the scratch folder of this process."""
    if _folder.cache_info().currsize:
        shutil.rmtree(_folder(), ignore_errors=True)
        _folder.cache_clear()
        _base_coco.cache_clear()


def _annotation(choices: Choices) -> Any:
    """Make a mutated annotation, or read any JSON that the bytes happen to be."""
    if choices.below(4):
        return mutate_annotation(choices)
    try:
        return json.loads(choices.rest())
    except (ValueError, RecursionError):
        return None


def _as_json(obj: Any, ascii_only: bool = True) -> bytes:
    try:
        return json.dumps(obj, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    except RecursionError:  # deeper than this parser goes, which a file may be
        return b"[" * 1100 + b"]" * 1100


def annotation(data: bytes) -> None:
    """Try :func:`parse_annotation` on any JSON value."""
    check_annotation(_annotation(Choices(data)), kfashion_schema())


def fast_parser(data: bytes) -> None:
    """Try the fast parser against the reference, on what orjson reads."""
    choices = Choices(data)
    objs = []
    for _ in range(1 + choices.below(3)):
        try:
            objs.append(orjson.loads(_as_json(_annotation(choices))))
        except orjson.JSONDecodeError:
            objs.append(None)
    check_fast_parser([base_annotations()[0], *objs], _parser(), kfashion_schema())


def archive(data: bytes) -> None:
    """Try the index and the reader on any bytes, or on a patched archive."""
    choices = Choices(data)
    content = patch_archive(choices.pick(base_archives()), choices) if choices.below(3) else choices.rest()
    check_archive(content, _folder() / "fuzz.zip")


def conversion(data: bytes) -> None:
    """Convert a folder of files and archives, and read the store back."""
    choices = Choices(data)
    root, output = _folder() / "data", _folder() / "out"
    for folder in (root, output):
        shutil.rmtree(folder, ignore_errors=True)
    expected = _write_folder(root, choices)
    options = {"labels_only": choices.below(4) == 1, "check_images": choices.below(4) == 1}
    summary = convert_dataset(root, output, **options)
    if expected:
        splits = summary["splits"].values()
        assert {unit: sum(split[unit] for split in splits) for unit in expected} == expected
    if not options["check_images"]:  # the images are no images
        check_conversion(summary, output, kfashion_schema(), SOUND_ID)
    if choices.below(8) == 1:
        first = _contents(output)
        convert_dataset(root, output, **options)
        assert _contents(output) == first


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _garments(content: bytes) -> int:
    for parser in (orjson.loads, json.loads):
        try:
            return garments_in(parser(content))
        except (ValueError, RecursionError):
            continue
    return 0


def _write_folder(root: Path, choices: Choices) -> dict[str, int]:
    """Write a folder, and count its annotations and garments; {} where an archive was patched and nobody knows."""
    sound = json.dumps(base_annotations()[0], ensure_ascii=False)
    sound = sound.replace(str(base_annotations()[0]["이미지 정보"]["이미지 식별자"]), str(SOUND_ID))
    files = {f"Training/{SOUND_ID}.json": sound.encode(), f"Training/{SOUND_ID}.jpg": b"x"}
    labels, is_known = [files[f"Training/{SOUND_ID}.json"]], True
    for split in ("Training", "Validation"):
        packed: dict[str, bytes] = {}
        for _ in range(choices.below(4)):
            stem = f"{choices.pick(STYLES)}/{choices.pick(('1', '2', '3', 'a'))}"
            content = _as_json(_annotation(choices), bool(choices.below(2))) if choices.below(8) else choices.take(20)
            store = packed if choices.below(2) else files
            prefix = "" if store is packed else f"{split}/"
            store[f"{prefix}{stem}.json"] = content
            if choices.below(4):
                store[f"{prefix}{stem}.jpg"] = b"x" * choices.below(300)
        labels += [content for name, content in packed.items() if name.endswith(".json")]
        if packed:
            content = zip_bytes(packed)
            patched = patch_archive(content, choices) if choices.below(2) else content
            files[f"{split}/all.zip"] = patched
            is_known &= patched == content
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    labels += [content for name, content in files.items() if name.endswith(".json")][1:]
    return {"annotations": len(labels), "garments": sum(map(_garments, labels))} if is_known else {}


@cache
def _base_coco() -> dict[str, Any]:
    root = _folder() / "coco"
    root.mkdir()
    for obj in base_annotations()[:3]:
        (root / f"{obj['이미지 정보']['이미지 식별자']}.json").write_bytes(_as_json(obj))
    convert_dataset(root, _folder() / "coco_store", labels_only=True)
    dataset = KFashionDataset(_folder() / "coco_store/train", "category_or_part")
    return orjson.loads(export_coco(dataset, root / "coco.json").read_bytes())


def coco(data: bytes) -> None:
    """Import a mutated COCO file, which may be refused with a message that names it."""
    path, output = _folder() / "coco.json", _folder() / "imported"
    path.write_bytes(_as_json(mutate(_base_coco(), Choices(data))))
    shutil.rmtree(output, ignore_errors=True)
    try:
        counts = import_coco(path, output)
    except ValueError as error:
        assert str(path) in str(error), error
        assert not output.exists()
        return
    check_split(KFashionDataset(output, "category_or_part"), {key: counts[key] for key in ("images", "garments")})


TARGETS: dict[str, Callable[[bytes], None]] = {
    "annotation": annotation,
    "fast_parser": fast_parser,
    "archive": archive,
    "conversion": conversion,
    "coco": coco,
}


def seeds(name: str) -> list[bytes]:
    """Make inputs to start a target from."""
    texts = [json.dumps(obj, ensure_ascii=False).encode() for obj in base_annotations()[:4]]
    inputs = [bytes([1 + i, *range(i, i + 40)]) for i in range(8)]
    if name == "archive":
        return [*inputs, *(b"\0" + content for content in base_archives())]
    return [*inputs, *(b"\0" + text for text in texts)]
