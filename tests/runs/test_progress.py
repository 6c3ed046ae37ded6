import io
import itertools

import pytest

from ntkjax.runs import progress as module
from ntkjax.runs.progress import announce, progress, read_progress


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


MIB = 2**20


def test_reading_is_shown_after_two_seconds(capsys, seconds):
    with read_progress("loading", 40 * MIB) as advance:
        advance(6 * MIB)
        seconds.append(101.9)
        advance(MIB // 2)
        assert capsys.readouterr().err == ""
        seconds.append(102.0)
        advance(MIB)
        line = "loading: 8/40 MiB, 4 per second, 8 s left\n"  # 7.5 MiB in 2 s
        assert capsys.readouterr().err == line
        seconds.append(111.0)
        advance(2 * MIB)
        assert capsys.readouterr().err == ""  # then every ten seconds, as elsewhere
        seconds.append(120.0)
        advance(30 * MIB + MIB // 2)
        line = "loading: 40/40 MiB, 2 per second, 0 s left\n"
        assert capsys.readouterr().err == line


def test_short_reading_is_not_shown(capsys, seconds):
    with read_progress("loading", 40 * MIB) as advance:
        seconds.append(101.9)
        advance(40 * MIB)
        seconds.append(200.0)
    with read_progress("loading", 0):
        seconds.append(300.0)
    assert capsys.readouterr() == ("", "")


def test_announcements_go_to_stderr(capsys):
    announce("downloading")
    assert capsys.readouterr() == ("", "downloading\n")


def on_a_terminal(monkeypatch) -> io.StringIO:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(module.sys, "stderr", terminal)
    return terminal


def test_long_reading_has_a_bar_on_a_terminal(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with read_progress("loading", 40 * MIB) as advance:
        advance(25 * MIB)
        assert not terminal.getvalue()
        monkeypatch.setattr(module, "PATIENCE", 0.0)
        advance(15 * MIB)
    last = terminal.getvalue().rsplit("loading", 1)[-1]
    assert "40/40" in last
    assert "MiB" in last


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    with progress("kernels", 40, "channels") as advance:
        advance(25)
        advance(15)
    last = terminal.getvalue().rsplit("kernels", 1)[-1]
    assert "40/40" in last
    assert "channels" in last


def test_errors_pass_through():
    with pytest.raises(KeyboardInterrupt), progress("a", 2, "b"):
        raise KeyboardInterrupt
