import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kfashion_d2.data import analyze_splits, open_splits
from kfashion_d2.schema import kfashion_schema
from kfashion_d2.visualization import make_thumbnails, write_data_report
from kfashion_d2.visualization.drawing import thumbnails
from kfashion_d2.visualization.drawing.fonts import find_hangul_font
from kfashion_d2.visualization.reports.data_plots import PLOTS, draw_plot
from tests.data.small_store import HOSTILE, make_store

SCHEMA = kfashion_schema()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def summary(store):
    return analyze_splits(open_splits(store), store / "problems.jsonl")


def test_untrusted_text_is_escaped(summary, tmp_path):
    write_data_report(tmp_path / "a.html", summary, SCHEMA, title="<b>&")
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert html.count("<script") == html.count("<script>") == 1  # the page's own
    assert "<script>alert" not in html and "<b>&" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2  # as an example, and as a value
    assert "&lt;b&gt;&amp;" in html
    assert HOSTILE in json.dumps(summary)


def test_the_page_needs_nothing_else(summary, tmp_path):
    write_data_report(tmp_path / "a.html", summary, SCHEMA)
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    languages = 1 if find_hangul_font() is None else 2
    assert len([s for s in sources if s.startswith("data:image/svg+xml;base64,")]) == len(PLOTS) * languages
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert {s[1:] for s in sources if s.startswith("#")} <= set(re.findall(r'id="([^"]*)"', html))
    assert "t-shirt" in html and "티셔츠" in html
    assert "AI Hub" not in html  # no photograph, no terms


def test_a_page_with_photographs_says_whose_terms_hold(summary, tmp_path):
    for blurred in (False, True):
        pictures = {("neckline", "v-neck"): [b"jpeg"]}
        write_data_report(tmp_path / "a.html", summary, SCHEMA, thumbnails=pictures, blurred=blurred)
        html = (tmp_path / "a.html").read_text(encoding="utf-8")
        assert "fall under AI Hub's terms" in html and "이용약관" in html
        assert ("misses some" in html) == blurred
        assert "data:image/jpeg;base64,anBlZw==" in html


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_the_same_again_and_hold_no_text_that_needs_a_font(summary, name):
    plot = draw_plot(name, summary["total"], SCHEMA)
    assert plot == draw_plot(name, summary["total"], SCHEMA)
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(plot).iter()}
    assert "path" in tags and not tags & {"text", "script", "image"}


def test_thumbnails_show_the_garment(tmp_path):
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    image[20:60, 100:140] = (250, 0, 0)
    Image.fromarray(image).save(tmp_path / "a.png")
    record = {"width": 200, "height": 100, "annotations": [{"bbox": [100, 20, 40, 40]}]}
    dataset = [{**record, "file_name": str(tmp_path / name)} for name in ("a.png", "missing.png")]
    picked = {"red": [(0, 1, 0), (0, 0, 0)], "gone": [(0, 1, 0)]}
    found = make_thumbnails([dataset], picked, lambda name: Path(name).read_bytes())
    assert found["gone"] == [] and len(found["red"]) == 1
    thumbnail = np.asarray(Image.open(io.BytesIO(found["red"][0])))
    assert thumbnail.shape == (128, 128, 3)
    # The margin is 3 of 40 pixels: red but for a border of 7 percent.
    red = thumbnail[..., 0] > 125
    assert red[16:-16, 16:-16].all() and not red[:4].any() and not red[:, -4:].any()


def test_blurring_sees_the_whole_photograph(tmp_path, monkeypatch):
    Image.new("RGB", (200, 100), (0, 0, 200)).save(tmp_path / "a.png")
    seen = []
    monkeypatch.setattr(thumbnails, "blur_faces", lambda image: seen.append(image.shape) or image * 0)
    dataset = [
        {"width": 200, "height": 100, "file_name": str(tmp_path / "a.png"), "annotations": [{"bbox": [9, 9, 30, 30]}]}
    ]
    found = make_thumbnails([dataset], {"a": [(0, 0, 0)]}, lambda name: Path(name).read_bytes(), blur=True)
    assert seen == [(100, 200, 3)]
    assert np.asarray(Image.open(io.BytesIO(found["a"][0]))).max() < 10


def test_the_tool(demo_store, tmp_path, run_tool, capsys):
    pages = []
    for name in ("a", "b"):
        run_tool("analyze_data", demo_store, "--output", tmp_path / name, "--thumbnails", 1, "--seed", 3)
        pages.append((tmp_path / name / "report.html").read_bytes())
    assert pages[0] == pages[1] and b"data:image/jpeg" in pages[0]
    assert json.loads((tmp_path / "a/summary.json").read_text(encoding="utf-8"))["total"]["images"] > 20
    assert "report.html" in capsys.readouterr().out
    # The conversion's summary.json has the same name.
    with pytest.raises(SystemExit, match="another folder"):
        run_tool("analyze_data", demo_store, "--output", demo_store)
    with pytest.raises(SystemExit, match=r"convert_kfashion\.py"):
        run_tool("analyze_data", tmp_path, "--output", tmp_path / "c")
    assert not (tmp_path / "c").exists()
