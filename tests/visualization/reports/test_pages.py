"""What all reports have in common: on a phone, in Korean and in the dark."""

import pytest
from PIL import Image

from benchmarks.predictions import make_predictions
from kfashion_d2.data import analyze_splits, open_splits
from kfashion_d2.evaluation import compare_runs
from kfashion_d2.evaluation.analysis.findings import find_all
from kfashion_d2.schema import kfashion_schema
from kfashion_d2.visualization import (
    write_comparison_report,
    write_data_report,
    write_demo_page,
    write_evaluation_report,
)
from kfashion_d2.visualization.reports.words import translation
from tests.data.small_store import make_store
from tests.evaluation.results.evaluated_run import make_run
from tests.visualization.reports.browser import needs_browser, run_in_browser
from tests.visualization.reports.evaluated_document import document_of

PAGES = ("evaluation", "comparison", "data", "demo")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    predictions = make_predictions(40, detections_per_image=5, styles=True, seed=1)
    hashed = predictions.with_info(model={"weights": "/data/" + 20 * "long_", "store_hash": 4 * "0123456789abcdef"})
    evaluation, document = document_of(hashed, replicates=10)
    write_evaluation_report(folder / "evaluation.html", hashed, evaluation, document, find_all(hashed, evaluation))
    runs = [make_run(name, predictions) for name in ("base", "a_name_of_many_letters", "c")]
    for run in runs:
        run.document["model"] = {"weights": "/data/" + 20 * "long_" + "/model_final.pth"}
    write_comparison_report(folder / "comparison.html", compare_runs(runs, replicates=10))
    store = make_store(folder)
    write_data_report(
        folder / "data.html", analyze_splits(open_splits(store), store / "problems.jsonl"), kfashion_schema()
    )
    Image.new("RGB", (1600, 800)).save(folder / "wide.png")
    results = {"bbox": {"AP50": 81.25}, "attributes": {"recall": 90.0}, "attributes_gt_boxes": {}}
    write_demo_page(
        folder / "demo.html",
        title=("A demo", "데모"),
        results=results,
        schema=kfashion_schema(),
        curve=folder / "wide.png",
        pictures=[folder / "wide.png"],
    )
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_every_page_breaks_korean_between_words_and_has_a_dark_side(pages, name):
    text = (pages / f"{name}.html").read_text(encoding="utf-8")
    assert ":lang(ko) { word-break: keep-all; }" in text
    assert "@media (prefers-color-scheme: dark)" in text and "color-scheme: light dark" in text
    assert '<button type="button" data-lang="ko">' in text


LOOK = """
document.querySelector('.switch [data-lang="%s"]').click();
for (const details of document.querySelectorAll('details')) details.open = true;
const root = document.documentElement;
const shown = (element) => element.getClientRects().length > 0;
const ownText = (element) => Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.data.trim());
const size = (element) => {
  const scale = element instanceof SVGElement ? element.ownerSVGElement?.getScreenCTM()?.a ?? 1 : 1;
  return parseFloat(getComputedStyle(element).fontSize) * scale;
};
const texts = Array.from(document.body.querySelectorAll('*')).filter(
  (element) => shown(element) && ownText(element) && !element.closest('script, style, title, desc, defs'));
const charts = Array.from(document.querySelectorAll('svg[viewBox]')).map((svg) => svg.getScreenCTM().a *
  parseFloat(getComputedStyle(svg.closest('.panels')).getPropertyValue('--tick')));
const cells = Array.from(document.querySelectorAll('td.text, td.path, td:first-child, th.text')).filter(shown);
const rows = Array.from(document.querySelectorAll('table:not(.matrix) tr')).filter(shown);
const korean = Array.from(document.querySelectorAll('[lang="ko"]')).filter((element) => shown(element));
return {
  inner: root.clientWidth, wide: root.scrollWidth - root.clientWidth, height: root.scrollHeight,
  smallest: Math.min(...texts.map(size), ...charts), charts: charts.length,
  narrowest: Math.min(...cells.map((cell) => cell.getBoundingClientRect().width)),
  columns: Math.max(...rows.map((row) => Array.from(row.cells).reduce((sum, cell) => sum + cell.colSpan, 0))),
  breaks: Array.from(new Set(korean.map((element) => getComputedStyle(element).wordBreak))),
  background: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color,
};
"""


def brightness(color):
    return sum(int(value) for value in color.removeprefix("rgb(").rstrip(")").split(","))


@needs_browser
@pytest.mark.parametrize("language, dark", [("en", False), ("ko", True)])
@pytest.mark.parametrize("name", PAGES)
def test_on_a_phone(pages, name, language, dark, tmp_path):
    page = pages / f"{name}.html"
    answer, errors, console = run_in_browser(page, LOOK % language, tmp_path, width=400, dark=dark)
    assert errors == [] and console == []
    assert answer["inner"] == 400 and answer["wide"] <= 0  # tables scroll, the page does not
    assert answer["narrowest"] > 60 and answer["height"] < 30_000
    assert answer["smallest"] >= 12 and (answer["charts"] > 20) == (name == "evaluation")
    assert answer["columns"] <= 12
    assert answer["breaks"] == (["keep-all"] if language == "ko" else answer["breaks"])
    assert (brightness(answer["background"]) < 100) == dark and (brightness(answer["ink"]) > 600) == dark


def test_hashes_are_short_and_whole_where_a_pointer_rests(pages):
    text = (pages / "evaluation.html").read_text(encoding="utf-8")
    whole = 4 * "0123456789abcdef"
    assert f'<code title="{whole}">01234567</code>' in text and text.count(whole) == 1
    full = kfashion_schema().hash
    text = (pages / "data.html").read_text(encoding="utf-8")
    assert len(full) > 8 and full[:8] in text and full not in text


def test_what_did_not_occur_is_told_apart(pages):
    text = (pages / "data.html").read_text(encoding="utf-8")
    table = text[text.index('id="answers"') : text.index('id="parts"')]
    listed, _, absent = table.partition("</table>")
    assert "<td>0</td>" not in listed and "garments kept" in listed
    assert "Looked for, and not there" in absent and "rect outside the image altogether" in absent


def test_korean_is_there_for_all_that_an_analysis_says(pages):
    summary = analyze_splits(open_splits(pages / "store"), pages / "store" / "problems.jsonl")
    texts = {answer[key] for answer in summary["answers"] for key in ("question", "of")}
    texts |= {problem[key] for problem in summary["problems"] for key in ("of", "action")}
    assert len(texts) > 25 and [text for text in sorted(texts) if translation(text)[1] == text] == []
    assert translation("rect leaves the image by more than 0.5 pixels")[1] == "rect가 이미지를 0.5픽셀 넘게 벗어남"
    assert translation("something new") == ("something new", "something new")
