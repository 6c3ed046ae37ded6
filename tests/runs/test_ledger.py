import errno
import json
from pathlib import Path

import pytest

from ntkjax.errors import InputError
from ntkjax.runs import ledger as module
from ntkjax.runs.ledger import Ledger, peak_mib


@pytest.fixture
def clock(monkeypatch):
    """Time and memory that a test sets."""
    now = {"seconds": 100.0, "mib": 10.0}
    monkeypatch.setattr(module.time, "monotonic", lambda: now["seconds"])
    monkeypatch.setattr(module, "peak_mib", lambda: now["mib"])
    return now


def pass_time(clock, seconds, mib):
    clock["seconds"] += seconds
    clock["mib"] = mib


def kept(path) -> Ledger:
    ledger = Ledger()
    ledger.keep_in(path)
    return ledger


def test_what_was_booked_before_the_directory_was_claimed_is_kept_too(tmp_path, clock):
    ledger = Ledger()
    for seconds in (1.0, 2.0):
        pass_time(clock, seconds, 5.0)
        ledger.book("load")
    rows = [{"stage": "load", "seconds": 3.0, "peak_mib": 5.0}]
    assert ledger.stages() == rows
    ledger.keep_in(tmp_path / "metrics.jsonl")
    pass_time(clock, 4.0, 2.0)
    ledger.book("scores")
    assert ledger.seconds() == {"load": 3.0, "scores": 4.0}
    assert kept(tmp_path / "metrics.jsonl").stages()[0] == rows[0]


def test_adds_up_over_interruptions(tmp_path, clock):
    path = tmp_path / "metrics.jsonl"
    first = kept(path)
    for stage, seconds, mib in (("load", 1.5, 20.0), ("scores", 2.25, 30.0)):
        pass_time(clock, seconds, mib)
        first.book(stage)
    pass_time(clock, 1000.0, 5.0)  # another process, much later
    second = kept(path)
    for stage, seconds, mib in (("load", 0.5, 6.0), ("report", 1.0, 7.0)):
        pass_time(clock, seconds, mib)
        second.book(stage)
    assert second.stages() == [
        {"stage": "load", "seconds": 2.0, "peak_mib": 20.0},
        {"stage": "scores", "seconds": 2.25, "peak_mib": 30.0},
        {"stage": "report", "seconds": 1.0, "peak_mib": 7.0},
    ]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["load", "scores", "load", "report"]


ODD = '{"stage": "scores", "seconds": "many", "peak_mib": 1}\n'


@pytest.mark.parametrize(
    "cut", ['{"stage": "scores", "sec', "12", "null", "{}", "\n", ODD, "\udcff\n"]
)
def test_a_line_that_a_kill_cut_short_costs_itself_only(tmp_path, clock, cut):
    path = tmp_path / "metrics.jsonl"
    ledger = kept(path)
    pass_time(clock, 1.0, 1.0)
    ledger.book("load")
    with path.open("a", errors="surrogateescape") as file:
        file.write(cut)
    pass_time(clock, 2.0, 1.0)
    ledger.book("scores")
    assert [(row["stage"], row["seconds"]) for row in ledger.stages()] == [
        ("load", 1.0),
        ("scores", 2.0),
    ]


def test_full_disk_is_the_users_error(tmp_path, clock, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"metrics\.jsonl: the disk is full"):
        kept(tmp_path / "metrics.jsonl").book("load")


def test_peak_is_in_mib():
    """Python with JAX takes some hundred MiB: a wrong unit is off by 1000."""
    assert 50 < peak_mib() < 50_000
