import pytest

from kfashion_d2.utils.command_line import one_line_errors


def test_a_mistake_is_one_line_and_other_errors_keep_their_traceback():
    with pytest.raises(SystemExit) as stop, one_line_errors("tool.py"):
        raise ValueError("first\nsecond")
    assert stop.value.code == "tool.py: error: first second"
    with pytest.raises(ZeroDivisionError), one_line_errors("tool.py"):
        raise ZeroDivisionError


def test_ctrl_c_is_one_line_and_130(capsys):
    with pytest.raises(SystemExit) as stop, one_line_errors("tool.py", (), hint="--resume goes on"):
        raise KeyboardInterrupt
    assert stop.value.code == 130
    assert capsys.readouterr().err == "tool.py: interrupted; --resume goes on\n"
