"""Write an archive of any size in AI Hub's layout to measure on: drawn annotations under new ids, stubs of images."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from kfashion_d2.schema import kfashion_schema
from kfashion_d2.synthetic.demo import draw_example

__all__ = ["make_archive"]

_ID = re.compile(r'"(이미지 식별자|파일 번호)":\d+')


def _templates(count: int, seed: int) -> list[str]:
    schema = kfashion_schema()
    texts = []
    for index in tqdm(range(count), desc="draw", unit=" annotations", leave=False):
        example = draw_example(seed, 0, index, image_size=(224, 168), with_image=False, schema=schema)
        texts.append(json.dumps(example.annotation, ensure_ascii=False, separators=(",", ":")))
    return texts


def make_archive(
    folder: str | Path, num_annotations: int, *, templates: int = 500, seed: int = 0, packed: bool = True
) -> float:
    """
    Write `Training/라벨링데이터.zip` and `Training/원천데이터_1.zip`, or their content as files.

    Args:
        folder: written anew.
        num_annotations: how many in all; every `templates`-th repeats under another id.
        templates: how many are drawn, with the faults of the demo set.
        seed: equal seeds draw equal annotations.
        packed: whether to write archives; else files.

    Returns:
        The mean size of an annotation in bytes.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    texts = _templates(min(templates, num_annotations), seed)
    styles = [style.korean for style in kfashion_schema().styles.labels]
    style_ids = np.random.default_rng(seed).integers(0, len(styles), num_annotations)
    names = [("라벨링데이터", "json", zipfile.ZIP_DEFLATED), ("원천데이터_1", "jpg", zipfile.ZIP_STORED)]
    total = 0
    for kind, suffix, method in names:
        kind_folder = folder / "Training" / kind
        archive = None
        if packed:
            kind_folder.parent.mkdir(parents=True, exist_ok=True)
            archive = zipfile.ZipFile(kind_folder.with_suffix(".zip"), "w", method)
        else:
            for style in styles:
                (kind_folder / style).mkdir(parents=True, exist_ok=True)
        for number in tqdm(range(num_annotations), desc=f"write {kind}", unit=" files", leave=False):
            data = b"stub"
            if suffix == "json":
                data = _ID.sub(rf'"\1":{100_000 + number}', texts[number % len(texts)]).encode()
                total += len(data)
            name = f"{styles[style_ids[number]]}/{100_000 + number}.{suffix}"
            if archive is not None:
                archive.writestr(name, data)
            else:
                (kind_folder / name).write_bytes(data)
        if archive is not None:
            archive.close()
    return total / max(num_annotations, 1)
