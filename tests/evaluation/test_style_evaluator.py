import json
import logging

import numpy as np
import pytest
import torch
from detectron2.utils import comm

from kfashion_d2.evaluation import StyleEvaluator, evaluate_styles
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema()
STYLES = SCHEMA.styles.labels


def make_batch(num=30, seed=0):
    rng = np.random.default_rng(seed)
    inputs = [
        {"image_id": int(i), "style": int(rng.integers(-1, 23)), "sub_style": int(rng.integers(-1, 23))}
        for i in rng.permutation(100 * num)[:num]
    ]
    scores = torch.tensor(rng.dirichlet(np.ones(23), (2, num)), dtype=torch.float32)
    outputs = [{"style_scores": a, "sub_style_scores": b} for a, b in zip(*scores, strict=True)]
    return inputs, outputs


def evaluate(inputs, outputs, **options):
    evaluator = StyleEvaluator("some", schema=SCHEMA, **options)
    evaluator.reset()
    for start in range(0, len(inputs), 4):
        evaluator.process(inputs[start : start + 4], outputs[start : start + 4])
    return evaluator.evaluate()


def test_both_tasks_over_what_is_known():
    inputs, outputs = make_batch()
    del inputs[3]["style"]  # a missing key is an unknown style
    results = evaluate(inputs, outputs)
    for task in ("style", "sub_style"):
        scores = np.stack([output[f"{task}_scores"] for output in outputs])
        targets = [x.get(task, -1) for x in inputs]
        expected = evaluate_styles(scores, targets, STYLES)
        np.testing.assert_equal(dict(results[task]), expected)
        assert expected["support"] == sum(t >= 0 for t in targets) < 30


def test_without_the_sub_style():
    inputs, outputs = make_batch()
    for output in outputs:
        del output["sub_style_scores"]
    assert list(evaluate(inputs, outputs, tasks=("style",))) == ["style"]


def test_processes_order_and_repeats_do_not_matter(monkeypatch):
    inputs, outputs = make_batch()
    expected = evaluate(inputs, outputs)
    sent = []
    monkeypatch.setattr(comm, "gather", lambda data, dst: sent.append(data) or [])
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    for some in ([], [7, 2, 2], [*range(29, 9, -1)]):  # one sees nothing, one sees an image twice
        assert evaluate([inputs[i] for i in some], [outputs[i] for i in some]) == {}
    monkeypatch.setattr(comm, "gather", lambda data, dst: [data, *sent])
    monkeypatch.setattr(comm, "is_main_process", lambda: True)
    found = evaluate(inputs[:12], outputs[:12])
    np.testing.assert_equal(dict(found), dict(expected))


def test_not_distributed_gathers_nothing(monkeypatch):
    monkeypatch.setattr(comm, "gather", lambda *args, **kwargs: pytest.fail("gathered"))
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert evaluate(*make_batch(), distributed=False)["style"]["support"] > 0


def test_no_image_at_all():
    results = evaluate([], [])
    assert [results[task]["support"] for task in ("style", "sub_style")] == [0, 0]


def test_the_report(tmp_path, caplog):
    inputs, outputs = make_batch(4)
    for x in inputs:
        x.update(style=8, sub_style=-1)
    with caplog.at_level(logging.INFO, logger="kfashion_d2"):
        results = evaluate(inputs, outputs, output_dir=str(tmp_path / "new"))
    assert "macro-F1" in caplog.text and "hip-hop" in caplog.text
    written = json.loads((tmp_path / "new" / "style_metrics.json").read_text())
    assert written["dataset"] == "some"
    assert written["style"]["top3"] == results["style"]["top3"] and written["style"]["support"] == 4
    assert written["sub_style"]["top1"] is None and written["style"]["F1-retro"] is None


def test_a_model_without_styles_is_refused():
    inputs, outputs = make_batch(1)
    with pytest.raises(ValueError, match=r"expected style_scores of shape \(23,\) .* found none: .*AttributeRCNN"):
        evaluate(inputs, [{}])
    outputs[0]["sub_style_scores"] = torch.zeros(5)
    with pytest.raises(ValueError, match=r"expected sub_style_scores .* found shape \(5,\)"):
        evaluate(inputs, outputs)
