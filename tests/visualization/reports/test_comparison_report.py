import re
from dataclasses import replace

import pytest

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation import compare_runs
from kfashion_d2.visualization import write_comparison_report
from tests.evaluation.results.evaluated_run import ACCURACY, make_run
from tests.visualization.reports.browser import HOSTILE, check_sorted, needs_browser, run_in_browser, sort_script


@pytest.fixture(scope="module")
def comparison():
    good = make_predictions(60, detections_per_image=4, seed=3)
    scores = good.gt_attributes.copy()
    scores[::10] = scores[::10, ::-1] * (scores[::10] > 0)
    runs = [make_run("base", good), make_run(HOSTILE, replace(good, gt_attributes=scores)), make_run("c", good)]
    runs[1].document["dataset"] = HOSTILE
    return compare_runs(runs, replicates=30)


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "compare.html"
    write_comparison_report(path, comparison)
    return path


def test_differences_are_those_of_the_comparison(page, comparison):
    text = page.read_text(encoding="utf-8")
    row = re.search(f'<tr data-row="{ACCURACY}">(.*?)</tr>', text, re.S)[1]
    values = [float(x) for x in re.findall('data-metric="[^"]*" data-v="([^"]*)"', row)]
    assert values == comparison.values[ACCURACY]
    cells = re.findall(r'<td class="first ?(\w*)" data-v="([^"]*)">([^<]*)<small>([^<]*)</small>', row)
    worse = comparison.differences[0][ACCURACY]
    assert cells == [
        ("worse", str(worse.value), f"{worse.value:+.1f}", f"{worse.low:+.1f} … {worse.high:+.1f}"),
        ("", "0.0", "+0.0", "+0.0 … +0.0"),
    ]
    assert text.count("over the images of both, paired") == 2


def test_a_calibration_error_that_falls_is_better(comparison, tmp_path):
    name = "attributes_gt_boxes/mean/ece"
    found = comparison.differences[0][ACCURACY]
    changed = {**comparison.differences[0], name: found}
    write_comparison_report(tmp_path / "a.html", replace(comparison, differences=[changed, {}]))
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    row = re.search(f'<tr data-row="{name}">(.*?)</tr>', text, re.S)[1]
    assert 'class="first better"' in row and "worse" not in row


def test_untrusted_text_is_escaped(page):
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text and text.count("<script>") == 1
    assert "different data sets: synthetic and &lt;script&gt;" in text


@needs_browser
def test_in_a_browser(page, tmp_path):
    answer, errors, console = run_in_browser(page, sort_script("headline-table", 5), tmp_path)
    assert errors == [] and console == []
    check_sorted(answer)


def test_a_difference_that_rounds_to_nothing_is_neither_better_nor_worse(comparison, tmp_path):
    sure = comparison.differences[0][ACCURACY]
    for value, look in ((0.04, ""), (-0.04, ""), (0.06, "better"), (-0.06, "worse")):
        changed = {
            **comparison.differences[0],
            ACCURACY: replace(sure, value=value, low=value - 0.01, high=value + 0.01),
        }
        write_comparison_report(tmp_path / "a.html", replace(comparison, differences=[changed, {}]))
        text = (tmp_path / "a.html").read_text(encoding="utf-8")
        row = re.search(f'<tr data-row="{ACCURACY}">(.*?)</tr>', text, re.S)[1]
        assert f'<td class="first {look}" data-v="{value}">{value:+.1f}<' in row
