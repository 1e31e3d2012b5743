"""A store of six annotations whose counts are known by hand."""

from kfashion_d2.data import convert_dataset
from tests.data.annotations import LABELS, SQUARE, polygon, rect, with_id, write

HOSTILE = "<script>alert(1)</script>"
TRIANGLE = polygon((0, 0), (40, 0), (0, 80))  # half of its box


def make_store(folder):
    """Six annotations in two splits, with what is to be counted."""
    data, train, val = folder / "data", "Training/모던", "Validation/모던"
    write(data, f"{train}/1.json", with_id(1))
    write(data, f"{train}/2.json", with_id(2, part="하의", labels={"색상": "레드"}, polygons=TRIANGLE, rects={}))
    nothing = with_id(3, rects={}, polygons={}, labels={}, **{"이미지 파일명": "SS_001_02.jpg"})
    nothing["데이터셋 정보"]["데이터셋 상세설명"]["라벨링"]["스타일"] = [{}]
    write(data, f"{train}/3.json", nothing)
    stray = {**SQUARE, "X좌표5": 0, "Y좌표5": 0}
    details = {**LABELS, "넥라인": "브이\u00a0넥", "디테일": ["단추", "지퍼"], "서브색상": "블랙"}
    write(data, f"{train}/4.json", with_id(4, labels=details, polygons=stray))
    write(data, f"{val}/1.json", with_id(1, polygons={}, **{"이미지 높이": 200, "이미지 파일명": "SS_001_01.jpg"}))
    write(data, f"{val}/5.json", with_id(5, labels={**LABELS, "카테고리": HOSTILE}, rects=rect(10, 20, 0, 61)))
    convert_dataset(data, folder / "store")
    return folder / "store"
