import os

import pytest
import torch

from kfashion_d2.engine.output_dir import check_output_dir


@pytest.fixture
def trained(tmp_path):
    folder = tmp_path / "run"
    (folder / "inference").mkdir(parents=True)
    torch.save({"model": {}, "iteration": 9}, folder / "model_final.pth")
    (folder / "last_checkpoint").write_text("model_final.pth")
    for name in ("metrics.json", "log.txt", "log.txt.rank1", "config.yaml", "events.out.tfevents.1", "notes.md"):
        (folder / name).write_text("x")
    return folder


def test_another_training_is_refused_resumed_or_overwritten(trained):
    with pytest.raises(
        FileExistsError, match=r"run holds another training \(model_final\.pth\).*--resume.*--overwrite"
    ):
        check_output_dir(str(trained), max_iter=10)
    before = sorted(os.listdir(trained))
    check_output_dir(str(trained), max_iter=10, resume=True)
    assert sorted(os.listdir(trained)) == before
    check_output_dir(str(trained), max_iter=10, overwrite=True)
    assert sorted(os.listdir(trained)) == ["inference", "notes.md"]
    check_output_dir(str(trained), max_iter=10)  # nothing is left of it


def test_overwriting_keeps_the_weights_that_are_to_be_read(trained):
    weights = str(trained / "model_final.pth")
    with pytest.raises(ValueError, match=r"--overwrite would delete MODEL\.WEIGHTS .*model_final\.pth"):
        check_output_dir(str(trained), max_iter=10, weights=weights, overwrite=True)
    assert os.path.exists(weights) and (trained / "metrics.json").exists()


def test_a_resume_needs_something_to_do_and_its_checkpoint(trained):
    with pytest.raises(ValueError, match=r"model_final\.pth has 10 iterations behind it, but MAX_ITER is 9"):
        check_output_dir(str(trained), max_iter=9, resume=True)
    (trained / "model_final.pth").unlink()
    with pytest.raises(FileNotFoundError, match=r"model_final\.pth, which the file last_checkpoint"):
        check_output_dir(str(trained), max_iter=10, resume=True)


def test_a_folder_that_is_a_file(tmp_path):
    check_output_dir(str(tmp_path / "new" / "run"), max_iter=1)
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(NotADirectoryError, match=r"file is a file; name a folder"):
            check_output_dir(str(path), max_iter=1)
