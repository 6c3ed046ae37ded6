import io
import itertools

import pytest

from ntkjax.pipeline import progress as module
from ntkjax.pipeline.progress import progress


@pytest.fixture
def seconds(monkeypatch):
    """A clock that a test sets: a list with the time in its last place."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[-1])
    return now


def test_plain_lines_at_most_every_ten_seconds(capsys, seconds):
    with progress("kernels", 40, "channels") as advance:
        for later in itertools.accumulate([4.0, 4.0, 4.0, 4.0], initial=104.0):
            seconds.append(later)
            advance(8)
    out, err = capsys.readouterr()
    assert out == ""
    # at 112 s 24 of 40 in 12 s; the last line comes whenever it is done
    assert err == (
        "kernels: 24/40 channels, 2 per second, 8 s left\n"
        "kernels: 40/40 channels, 2 per second, 0 s left\n"
    )


def test_no_line_before_anything_is_done(capsys, seconds):
    with progress("kernels", 40, "channels"):
        seconds.append(200.0)
    assert capsys.readouterr() == ("", "")


def test_an_instant_pass_divides_by_no_zero(capsys, seconds):
    with progress("kernels", 3, "channels") as advance:
        advance(3)
    assert "kernels: 3/3 channels" in capsys.readouterr().err


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(module.sys, "stderr", terminal)
    with progress("kernels", 40, "channels") as advance:
        advance(25)
        advance(15)
    last = terminal.getvalue().rsplit("kernels", 1)[-1]
    assert "40/40" in last
    assert "channels" in last


def test_errors_pass_through():
    with pytest.raises(KeyboardInterrupt), progress("a", 2, "b"):
        raise KeyboardInterrupt
