import pytest

from fuzzing import run, targets


def test_without_atheris_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"atheris .*pip install 'kfashion_d2\[fuzz\]'"):
        run.fuzz(["archive"], 1, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_short_run(tmp_path):
    pytest.importorskip("atheris")
    (outcome,) = run.fuzz(["archive"], 1, tmp_path)
    assert outcome.inputs >= len(targets.seeds("archive")) and outcome.faults == []
    assert outcome.edges > 100  # the package's code was instrumented


def test_replay(tmp_path, run_tool, monkeypatch, capsys):
    (tmp_path / "input").write_bytes(b"\1\0\0")
    run_tool("fuzz", "--target", "archive", "--replay", tmp_path / "input")
    assert "breaks nothing" in capsys.readouterr().out

    def broken(data):
        raise KeyError(data)

    monkeypatch.setitem(targets.TARGETS, "archive", broken)
    with pytest.raises(KeyError, match=r"\\x01\\x00\\x00"):
        run.replay("archive", tmp_path / "input")
