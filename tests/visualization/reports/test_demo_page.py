import math
import re

import pytest
from PIL import Image

from kfashion_d2.schema import kfashion_schema
from kfashion_d2.visualization import write_demo_page


@pytest.fixture
def write(tmp_path):
    def write(results):
        Image.new("RGB", (4, 4)).save(tmp_path / "curve.png")
        schema = kfashion_schema().subset(["color"])
        page = tmp_path / "index.html"
        write_demo_page(page, title="t", results=results, schema=schema, curve=tmp_path / "curve.png", pictures=[])
        return " ".join(re.sub(r"<[^>]*>", " ", page.read_text("utf-8").partition("<body")[2]).split())

    return write


def test_styles_stand_beside_the_other_numbers_where_there_are_any(write):
    results = {"bbox": {"AP50": 81.25}, "attributes": {"mean/accuracy": 41.5, "recall": math.nan}}
    plain = write(results)
    assert "81.2" in plain and "41.5" in plain and "Style of the image" not in plain
    styled = write({**results, "style": {"top1": 19.5, "top3": 56.74, "majority": 6.38}})
    assert "Style of the image" in styled
    assert "among the best three: 56.7; always the commonest: 6.4" in styled
    assert " 19.5 " in styled
