import pytest

from benchmarks.predictions import make_predictions
from kfashion_d2.evaluation import write_predictions


def test_from_predictions_to_the_page(tmp_path, run_tool, capsys):
    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "predictions.parquet"
        write_predictions(make_predictions(20, detections_per_image=4, seed=seed), file)
        run_tool("evaluate", "--predictions", file, "--output", tmp_path / name, "--bootstrap", 10)
        assert "<title>Evaluation: synthetic</title>" in (tmp_path / name / "report.html").read_text("utf-8")
    capsys.readouterr()
    page = tmp_path / "pages" / "compare.html"
    options = ["--output", page, "--names", "old", "new", "--bootstrap", 10, "--groups"]
    run_tool("compare", tmp_path / "a", tmp_path / "b" / "metrics.json", *options)
    text = capsys.readouterr().out
    # Other seeds, other ground truth: not to be paired.
    assert "new - old: 95 % interval, intervals of both runs" in text and "different ground truth" in text
    assert "collar, accuracy" in text and f"See {page}" in text
    html = page.read_text("utf-8")
    assert "old" in html and "as if they were independent" in html

    with pytest.raises(SystemExit, match=r"error: no .*nothing"):
        run_tool("compare", tmp_path / "a", tmp_path / "nothing")
    with pytest.raises(SystemExit):
        run_tool("compare", tmp_path / "a", tmp_path / "b", "--names", "one")
    assert "1 names for 2 runs" in capsys.readouterr().err
