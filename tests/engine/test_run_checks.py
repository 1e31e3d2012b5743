"""Mistakes of a command line end before anything is built, each with its value and remedy."""

import logging
import sys

import pytest
import torch

from kfashion_d2.config import get_config_file
from kfashion_d2.engine import setup_config, setup_loggers
from kfashion_d2.engine.launch import launch
from kfashion_d2.engine.run_checks import check_num_gpus, check_run
from tests.engine.tiny_config import TINY, make_cfg


@pytest.fixture
def weights(tmp_path):
    torch.save({"model": {"a": torch.zeros(3000)}}, tmp_path / "whole.pth")
    data = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: len(data) // 2])
    (tmp_path / "page.pth").write_text("<html>404</html>")
    (tmp_path / "empty.pth").touch()
    return tmp_path


@pytest.mark.parametrize(
    "name, message",
    [
        ("gone.pth", r"MODEL\.WEIGHTS .*gone\.pth: no such file"),
        ("cut.pth", r"MODEL\.WEIGHTS .*cut\.pth is cut off"),
        ("page.pth", r"MODEL\.WEIGHTS .*page\.pth is no checkpoint: name a \.pth"),
        ("empty.pth", r"MODEL\.WEIGHTS .*empty\.pth is no checkpoint"),
    ],
)
@pytest.mark.parametrize("eval_only", [True, False])
def test_weights(demo_store, weights, name, message, eval_only):
    cfg = make_cfg(demo_store, weights / "run", "MODEL.WEIGHTS", str(weights / name))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        check_run(cfg, eval_only=eval_only)
    check_run(make_cfg(demo_store, weights / "run", "MODEL.WEIGHTS", str(weights / "whole.pth")), eval_only=eval_only)


def test_an_evaluation_needs_weights_or_a_checkpoint_to_resume(demo_store, tmp_path):
    cfg = make_cfg(demo_store, tmp_path)
    check_run(cfg)
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty: name the checkpoint"):
        check_run(cfg, eval_only=True, resume=True)
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    check_run(cfg, eval_only=True, resume=True)


def test_output_dir_and_batch(demo_store, tmp_path):
    (tmp_path / "file").touch()
    cfg = make_cfg(demo_store, tmp_path, "OUTPUT_DIR", str(tmp_path / "file"))
    for eval_only in (False, True):
        cfg.MODEL.WEIGHTS = "detectron2://x.pkl"
        with pytest.raises(NotADirectoryError, match=r"OUTPUT_DIR .*file is a file; name a folder"):
            check_run(cfg, eval_only=eval_only)
    with pytest.raises(ValueError, match=r"SOLVER\.IMS_PER_BATCH is 0: set it to at least 1"):
        check_run(make_cfg(demo_store, tmp_path, "SOLVER.IMS_PER_BATCH", 0))


@pytest.mark.parametrize(
    "opts, message",
    [
        (
            ["MODEL.ROI_ATTRIBUTE_HEAD.LOSS.SINGLE", "crossentropy"],
            r"LOSS\.SINGLE is 'crossentropy'; choose from cross_e",
        ),
        (["MODEL.ROI_ATTRIBUTE_HEAD.GROUP_WEIGHTS", [1.0]], r"GROUP_WEIGHTS has 1 values for the"),
        (["SOLVER.AMP.ENABLED", True, "MODEL.DEVICE", "cpu"], r"AMP\.ENABLED is True and MODEL\.DEVICE 'cpu'"),
        (["MODEL.META_ARCHITECTURE", "RetinaNet"], r"META_ARCHITECTURE is 'RetinaNet'"),
    ],
)
def test_values_that_cannot_be(demo_store, tmp_path, opts, message):
    with pytest.raises(ValueError, match=message):
        check_run(make_cfg(demo_store, tmp_path, *opts))


def test_processes_that_exit_end_the_tool_with_their_code():
    with pytest.raises(SystemExit) as stop:
        launch(sys.exit, 2, dist_url="auto", args=(3,))
    assert stop.value.code == 3


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    check_num_gpus(1)  # which runs on the CPU
    with pytest.raises(ValueError, match=r"--num-gpus is 8, but this machine has 0 CUDA devices: .*--num-cpus"):
        check_num_gpus(8)


@pytest.mark.parametrize(
    "text", ["# Read me\n\n- [a](b): c\n", "a, b\n", "- 1\n", "MODEL: {A: [}\n", "", "MODEL:\n  NEW_KEY: 1\n"]
)
def test_a_file_that_is_no_config(tmp_path, text):
    file = tmp_path / "README.md"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"README\.md is no config of Detectron2: .*the shipped ones are in configs/$"):
        setup_config(str(file), register=False)


@pytest.mark.parametrize("opts", [["SOLVER.MAX_ITER"], ["SOLVER.MAX_ITER", "many"], ["SOLVER.MAXITER", 1]])
def test_overrides_that_cannot_be(opts):
    with pytest.raises(ValueError, match=rf"attribute_rcnn_tiny\.yaml with {' '.join(map(str, opts))}: [^\n]+$"):
        setup_config(TINY, opts, register=False)


def test_a_split_in_the_place_of_the_converted_folder(demo_store):
    with pytest.raises(FileNotFoundError, match=rf"ROOT .*train is one split .* the folder around it, {demo_store}$"):
        setup_config(TINY, ["DATASETS.KFASHION.ROOT", str(demo_store / "train")])


def test_the_log_file_has_no_colours(tmp_path):
    name = "kfashion_d2.test_colours"
    try:
        setup_loggers(str(tmp_path), names=[name])
        logging.getLogger(name).info("\x1b[32mgreen\x1b[0m \x1b[1;4;31mred\x1b[0m")
        text = (tmp_path / "log.txt").read_text()
    finally:
        logging.getLogger(name).handlers.clear()
    assert text.endswith(f"{name} INFO: green red\n")


def test_the_shipped_config_passes(demo_store, tmp_path):
    assert get_config_file("quick/attribute_rcnn_tiny.yaml") == TINY
    check_run(make_cfg(demo_store, tmp_path))
