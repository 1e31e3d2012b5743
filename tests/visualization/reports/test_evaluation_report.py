import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation import (
    find_suspects,
)
from kfashion_d2.evaluation.analysis.findings import find_all
from kfashion_d2.evaluation.attributes.label_table import confusion_matrix
from kfashion_d2.evaluation.attributes.ranking import precision_recall
from kfashion_d2.evaluation.calibration.confidence import calibration_bins
from kfashion_d2.schema import Label, kfashion_schema
from kfashion_d2.visualization import write_evaluation_report
from kfashion_d2.visualization.reports.evaluation_charts import curve_points, pr_panel, reliability_panel
from kfashion_d2.visualization.reports.evaluation_pictures import EvaluationPictures, garments_from_predictions
from kfashion_d2.visualization.reports.evaluation_tables import confusion_tables
from tests.visualization.reports.browser import HOSTILE, check_sorted, needs_browser, run_in_browser, sort_script
from tests.visualization.reports.evaluated_document import document_of


def write(path, predictions, **kwargs):
    evaluation, document = document_of(predictions)
    write_evaluation_report(path, predictions, evaluation, document, find_all(predictions, evaluation), **kwargs)
    return path.read_text(encoding="utf-8")


class Dataset:
    """The dataset dicts that drawn-up predictions could be of, each image of one colour."""

    def __init__(self, predictions):
        self.predictions = predictions

    def __getitem__(self, index):
        p = self.predictions
        annotations = []
        for g in range(p.gt_offsets[index], p.gt_offsets[index + 1]):
            x0, y0, x1, y1 = p.gt_boxes[g].tolist()
            part = p.schema.parts.labels[p.gt_parts[g]].name
            bbox, category = [x0, y0, x1 - x0, y1 - y0], int(p.gt_classes[g])
            annotations.append({"bbox": bbox, "category_id": category, "part": part, "attributes": {}})
        size = {"height": int(p.heights[index]), "width": int(p.widths[index])}
        return {"file_name": f"{index}.png", "image_id": int(p.image_ids[index]), "annotations": annotations, **size}


def read_bytes(name):
    buffer = io.BytesIO()
    Image.new("RGB", (640, 640), (200, int(name.split(".")[0]) % 256, 90)).save(buffer, "PNG")
    return buffer.getvalue()


class Cells(HTMLParser):
    """data-metric -> (data-v, the text) of all cells that have one; and the rows of each table as texts."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.values, self._name = {}, {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "td":
            self._name = attrs.get("data-metric")
            if self._name:
                self.values[self._name] = attrs.get("data-v")
                self.cells[self._name] = []

    def handle_data(self, data):
        if self._name:
            self.cells[self._name].append(data)

    def handle_endtag(self, tag):
        if tag == "td":
            self._name = None


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(40, detections_per_image=5, styles=True, seed=1)


@pytest.fixture(scope="module")
def measured(predictions):
    return document_of(predictions, replicates=20)


@pytest.fixture(scope="module")
def page(predictions, measured, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    dataset = Dataset(predictions)
    findings = find_all(predictions, measured[0])
    write_evaluation_report(path, predictions, *measured, findings, dataset=dataset, read_bytes=read_bytes)
    return path


def test_numbers_are_those_of_the_document(page, measured):
    document = measured[1]
    found = Cells(page.read_text(encoding="utf-8"))
    assert {"attributes/recall", "attributes_gt_boxes/mean/accuracy", "attributes/collar/top3"} <= found.cells.keys()
    assert {"bbox/AP50", "iou_f1/AP", "iou_f1_chance/nothing/F1"} <= found.cells.keys()
    assert {"style/top1", "attributes/tail/f1"} <= set(found.cells)
    assert sum(name.startswith("bbox/AP-") for name in found.cells) > 10
    for name, texts in found.cells.items():
        value = document["metrics"].get(name, math.nan)
        if math.isnan(value):
            assert texts == ["–"] and found.values[name] is None
            continue
        assert float(found.values[name]) == value
        assert texts[0] == (f"{int(value):,}" if name.endswith("/support") else f"{value:.1f}")
        ends = document["intervals"].get(name)
        if ends and not math.isnan(ends[0]):
            assert texts[1] == f"{ends[0]:.1f} – {ends[1]:.1f}"
    assert len(re.findall("<small>[0-9.]+ – [0-9.]+</small>", page.read_text(encoding="utf-8"))) > 60


def test_labels_stand_in_every_setting(page, measured, predictions):
    text = page.read_text(encoding="utf-8")
    body = re.search(r'id="label-table">.*?<tbody>(.*?)</tbody>', text, re.S)[1]
    rows = [re.findall(r'<td[^>]*?(?: data-v="([^"]*)")?>', row) for row in body.split("<tr")[1:]]
    order = ["attributes", "attributes_gt_boxes", "attributes_class_agnostic"]
    assert len(rows) == len(order) * predictions.schema.num_labels and {len(row) for row in rows} == {5 + 5}
    tables = [measured[1]["labels"][task] for task in order]
    by_label = [numbers for of_tasks in zip(*tables, strict=True) for numbers in of_tasks]
    for row, numbers in zip(rows, by_label, strict=True):
        expected = [numbers[name] for name in ("support", "precision", "recall", "f1", "AP")]
        assert [float(x) if x else None for x in row[5:]] == expected


def test_confusions_add_up(predictions, measured):
    evaluation, document = measured
    classes, *groups = confusion_tables(predictions, find_all(predictions, evaluation))
    assert classes["group"][0] == "class" and len(groups) == sum(g.is_single for g in predictions.schema.groups)
    for matrix in groups:
        group = next(g for g in predictions.schema.groups if g.text("en") == matrix["group"][0])
        columns = predictions.schema.slice(group.name)
        expected = confusion_matrix(predictions.gt_attributes[:, columns], predictions.gt_targets[:, columns])
        expected = expected[expected.any(axis=1)]
        counts = np.array([[cell["count"] for cell in row["cells"]] for row in matrix["rows"]])
        assert counts.tolist() == expected[:, : counts.shape[1]].tolist()
        assert matrix["total"] == document["support"][f"attributes_gt_boxes/{group.name}"]
    assert classes["total"] == (predictions.gt_classes >= 0).sum()
    names = [name[0] for name in classes["columns"]]
    right = sum(row["cells"][names.index(row["name"][0])]["count"] for row in classes["rows"])
    known = predictions.gt_classes >= 0
    assert right == (evaluation.matches["attributes"][known] >= 0).sum()


def test_pictures_come_with_the_terms_and_without_the_page_says_so(page, predictions, tmp_path):
    with_pictures = page.read_text(encoding="utf-8")
    assert "AI Hub's terms of use" in with_pictures and "이용약관" in with_pictures
    assert with_pictures.count("data:image/jpeg;base64,") > 60
    assert "No pictures" not in with_pictures and len(with_pictures) < 3_000_000
    without = write(tmp_path / "a.html", predictions)
    assert "data:image" not in without and "AI Hub" not in without and "No pictures" in without
    assert len(without) < 800_000

    def gone(name):
        raise FileNotFoundError(name)

    unreadable = write(tmp_path / "a.html", predictions, dataset=Dataset(predictions), read_bytes=gone)
    assert "AI Hub" not in unreadable and "pictures are left out" in unreadable


def test_the_page_needs_nothing_else_and_its_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href|url\()="?([^")]*)', text)
    assert all(link.startswith(("data:", "#")) for link in links)
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids)) and {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert "http:" not in text and "https:" not in text and "None" not in text and ">nan<" not in text


def test_untrusted_text_is_escaped(predictions, tmp_path):
    schema = kfashion_schema().for_classes("category")
    names = tuple(Label(f"{HOSTILE} {i}", HOSTILE) for i in range(len(predictions.info.class_names)))
    hostile = predictions.with_info(dataset=HOSTILE, class_names=names, model={"weights": HOSTILE, HOSTILE: "x"})
    text = write(tmp_path / "a.html", hostile, dataset=Dataset(hostile), read_bytes=read_bytes, title=HOSTILE)
    assert "<script>alert" not in text and text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;" in text
    assert schema.num_labels == predictions.schema.num_labels


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, gt_attributes=None, style_scores=None).with_info(label_counts=None),
        lambda p: p.with_info(class_names=(), classes=None),
        lambda p: p.select(np.arange(0)),
        lambda p: replace(p, gt_targets=np.full_like(p.gt_targets, -1)),
        lambda p: replace(p, det_scores=p.det_scores * 0, det_boxes=p.det_boxes * 0),
        lambda p: make_predictions(6, detections_per_image=0),
        lambda p: make_predictions(6, schema=kfashion_schema().subset(["collar"]), classes="part"),
        lambda p: make_predictions(6, schema=kfashion_schema().subset(["print"]), classes="part"),
        lambda p: p.with_info(threshold={"print": [0.9] * 21, "material": 0.1}),
    ],
    ids=[
        "fewer",
        "no classes",
        "no image",
        "no label",
        "nothing found",
        "no detection",
        "single",
        "multi",
        "thresholds",
    ],
)
def test_parts_may_be_missing(predictions, change, tmp_path):
    changed = change(predictions)
    if changed.info.classes is None:  # without classes a garment of unknown class cannot be matched
        changed = replace(changed, gt_classes=np.maximum(changed.gt_classes, 0))
    for errors in (True, False) if changed.style_scores is None else (True,):
        evaluation, document = document_of(changed, errors=errors)
        findings = find_all(changed, evaluation)
        write_evaluation_report(tmp_path / "a.html", changed, evaluation, document, findings, language="ko")
        text = (tmp_path / "a.html").read_text(encoding="utf-8")
        assert text.endswith("</html>\n") or text.endswith("</html>")
        assert ('id="errors"' in text) == errors
        assert ('id="bands"' in text) == (changed.info.label_counts is not None)
        assert ('id="styles"' in text) == (changed.style_scores is not None)
        Cells(text)


def test_suspects_stand_in_their_order(page, predictions):
    text = page.read_text(encoding="utf-8")
    body = re.search(r'id="suspect-table">.*?<tbody>(.*?)</tbody>', text, re.S)[1]
    expected = find_suspects(predictions).rows(40)
    margins = re.findall(r'<td data-v="([^"]*)">[^<]*</td><td data-v="(\d+)">', body)
    assert [(float(m), int(i)) for m, i in margins] == [(row["margin"], row["image_id"]) for row in expected]


def test_curves_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float16)
    targets = np.array([1, 0, 1, -1], dtype=np.int8)
    panel = pr_panel(precision_recall(scores, targets), 0.75)
    # From the best score down: 1 of 1, 1 of 2, 2 of 3; y falls from the top.
    assert panel["points"] == "0,0 50,0 50,50 100,33.33"
    assert panel["mark"] == (50.0, 50.0)
    assert pr_panel(precision_recall(scores, targets), 0.95)["mark"] is None
    rng = np.random.default_rng(0)
    long = rng.random(5000).astype(np.float16)
    curve = precision_recall(long, (rng.random(5000) < long).astype(np.int8))
    points = curve_points(curve.recall, curve.precision).split()
    assert len(points) <= 82 and points[-1].startswith("100,")
    shown = {tuple(float(x) for x in point.split(",")) for point in points}
    whole = {
        (float(f"{100 * a:.4g}"), float(f"{100 - 100 * b:.4g}"))
        for a, b in zip(curve.recall, curve.precision, strict=True)
    }
    assert shown <= whole
    bars = reliability_panel(calibration_bins(np.array([0.95, 0.97, 0.1]), np.array([True, False, False])))
    assert [(bar["count"], bar["frequency"], bar["height"]) for bar in bars] == [(1, 0, 0), (2, 50, 50)]
    assert bars[1]["y"] == 50 and bars[1]["confidence"] == pytest.approx(96)


def test_detections_are_drawn_by_each_labels_threshold(predictions):
    schema = predictions.schema
    columns = schema.slice("print")
    row = int(np.flatnonzero((predictions.det_attributes[:, columns] > 0).sum(axis=1) > 3)[0])
    scores = predictions.det_attributes[row, columns].astype(float)
    least = [1.0] * len(scores)
    second = int(np.argsort(-scores)[1])
    least[second] = 0.0
    for threshold, wanted in (({"print": least}, [second]), ({"print": 1.0}, [])):
        garment = garments_from_predictions(predictions.with_info(threshold=threshold), np.array([row]))[0]
        assert [label for label, _ in garment.attributes["print"]] == [schema.group("print").labels[i] for i in wanted]
    assert garment.score == pytest.approx(float(predictions.det_scores[row]))


def test_a_crop_shows_the_boxes(predictions):
    pictures = EvaluationPictures(predictions, Dataset(predictions), read_bytes)
    uri = pictures.crop(0, 0)
    import base64

    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")).astype(int)
    assert max(crop.shape[:2]) == 200 and pictures.num_drawn == 1
    for color in ((0, 158, 115), (213, 94, 0)):
        assert (np.abs(crop - color).sum(axis=2) < 60).any()


def test_languages(predictions, measured, tmp_path):
    findings = find_all(predictions, measured[0])
    with pytest.raises(ValueError, match="language='fr'"):
        write_evaluation_report(tmp_path / "a.html", predictions, *measured, findings, language="fr")
    write_evaluation_report(tmp_path / "a.html", predictions, *measured, findings, language="ko")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert '<html lang="ko">' in text and "<title>평가: synthetic</title>" in text
    assert '<span class="en">shirt collar</span><span class="ko" lang="ko">셔츠칼라</span>' in text


@needs_browser
def test_in_a_browser(page, tmp_path):
    script = """
    const visible = () => document.querySelector('#label-table td .ko').offsetParent !== null;
    const english = visible();
    document.querySelector('.switch [data-lang="ko"]').click();
    const korean = visible();
    const filter = document.querySelector('input[data-filters]');
    filter.value = '셔츠칼라'; filter.dispatchEvent(new Event('input'));
    const left = Array.from(document.querySelector('#label-table').tBodies[0].rows).filter((row) => !row.hidden).length;
    const broken = Array.from(document.images).filter((image) => image.complete && !image.naturalWidth).length;
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    """
    script += "const sorted = (() => {" + sort_script("label-table", 7) + "})();"
    script += "return {english, korean, left, broken, wide, sorted};"
    answer, errors, console = run_in_browser(page, script, tmp_path)
    assert errors == [] and console == []
    assert (answer["english"], answer["korean"], answer["left"], answer["broken"]) == (False, True, 3, 0)
    assert answer["wide"] <= 0  # tables scroll, the page does not
    check_sorted(answer["sorted"])
