"""Annotations in the data set's own JSON, and the files of them that tests write."""

import copy
import json
import zipfile

from kfashion_d2.data import parse_annotation
from kfashion_d2.schema import kfashion_schema


def polygon(*points):
    """Give a polygon as the data has it: keys X좌표1, Y좌표1, X좌표2, ..."""
    return {f"{axis}좌표{i}": point[axis == "Y"] for i, point in enumerate(points, 1) for axis in "XY"}


def rect(x, y, w, h):
    """Give a box as the data has it."""
    return {"X좌표": x, "Y좌표": y, "가로": w, "세로": h}


SQUARE = polygon((10.5, 20.5), (50.5, 20.5), (50.5, 80.5), (10.5, 80.5))
SQUARE_RECT = rect(10.0, 20.0, 41, 61)
LABELS = {"카테고리": "티셔츠", "색상": "블랙", "소재": ["저지"], "프린트": ["무지"], "소매기장": "반팔"}


def annotation(part="상의", rects=SQUARE_RECT, polygons=SQUARE, labels=LABELS, **changes):
    """Give an annotation with one garment; `changes` go into the table of the image."""

    def table(value):
        return {name: [value if name == part else {}] for name in ("아우터", "하의", "원피스", "상의")}

    obj = {
        "이미지 정보": {"이미지 식별자": 7, "이미지 높이": 100, "이미지 너비": 60, "이미지 파일명": "a.jpg"},
        "데이터셋 정보": {
            "파일 생성일자": "2020-01-01 00:00:00",
            "파일 번호": 7,
            "파일 이름": "a.jpg",
            "데이터셋 상세설명": {
                "렉트좌표": table(rects),
                "폴리곤좌표": table(polygons),
                "라벨링": {"스타일": [{"스타일": "모던", "서브스타일": "클래식"}], **table(labels)},
            },
        },
    }
    obj["이미지 정보"].update(changes)
    return copy.deepcopy(obj)


def write(root, path, obj, image=True, image_dir=None):
    """Write an annotation (or text) below root, and an empty image beside it or in another folder."""
    path = root / path
    path.parent.mkdir(parents=True, exist_ok=True)
    text = obj if isinstance(obj, str) else json.dumps(obj, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    if image:
        folder = root / image_dir if image_dir else path.parent
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{path.stem}.jpg").write_bytes(b"")


def with_id(number, **kwargs):
    """Give an annotation of the image with this number."""
    obj = annotation(**kwargs, **{"이미지 식별자": number})
    obj["데이터셋 정보"]["파일 번호"] = number
    return obj


def everything(folder):
    """Give the content of each file below a folder, by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def parse_one(**kwargs):
    """Parse one garment with K-Fashion's vocabulary; return it, and the reasons and actions of its problems."""
    record, problems = parse_annotation(annotation(**kwargs), kfashion_schema())
    return record["annotations"][0], {(p.reason, p.action) for p in problems}
