"""A command that writes one number, through the whole protocol."""

import dataclasses
import os
import pathlib
import threading
from dataclasses import dataclass

import pytest

from ntkjax.devices import processes
from ntkjax.errors import InputError
from ntkjax.runs import run as module
from ntkjax.runs.ledger import Ledger
from ntkjax.runs.run import MODEL, Outcome, Run, identify
from ntkjax.store.run_directory import read_json, read_settings
from ntkjax.store.run_lock import locked


RELIEF = {"": "tokens_per_batch"}


@dataclass(frozen=True, kw_only=True)
class Sum:
    schema: int = 1
    sum: int


FOUND = Outcome(Sum(sum=2), reused=True)


@pytest.fixture
def files(tmp_path):
    for name in ("weights", "data"):
        (tmp_path / name).write_bytes(name.encode())
    return {MODEL: [tmp_path / "weights"], "data": [tmp_path / "data"]}


def the_run(tmp_path, files, job="1-of-1", **settings) -> Run:
    resolved = {"a": 1, **settings}
    return identify("add", tmp_path / "run", "sum.json", Sum, resolved, files, job)


def compute(run: Run) -> None:
    ledger = Ledger()
    ledger.book("load")
    with run.claimed(ledger, {"model": "m"}, RELIEF):
        (run.out / "folder").mkdir(exist_ok=True)
        (run.out / "folder" / "x").write_bytes(b"one")
        (run.out / "y").write_bytes(b"two")
        run.finish(Sum(sum=2), ["folder", "y", run.metrics], {"precision": "all"})


def test_from_nothing_to_finished(tmp_path, files):
    run = the_run(tmp_path, files)
    assert run.finished() is None
    assert not run.out.exists()  # asking claims nothing
    compute(run)
    assert the_run(tmp_path, files).finished() == FOUND
    manifest = read_json(run.out / "manifest.json")
    assert manifest["command"] == "add"
    assert (manifest["model"], manifest["precision"]) == ("m", "all")
    assert sorted(manifest["outputs"]) == [
        *("folder/x", "metrics.jsonl", "run.yaml", "sum.json", "y")
    ]
    assert '"stage": "load"' in (run.out / "metrics.jsonl").read_text()
    names = {path.name for path in run.out.iterdir()}
    assert not any(name.endswith(".json") and name[0] == "." for name in names)


def test_an_output_that_is_gone_does_not_finish_a_run(tmp_path, files):
    run = the_run(tmp_path, files)
    with (
        pytest.raises(InputError, match="y: was written and is not there any more"),
        run.claimed(Ledger(), {}, RELIEF),
    ):
        run.finish(Sum(sum=2), ["y"], {})
    assert run.finished() is None


def test_of_jobs_that_end_together_one_writes(tmp_path, files):
    """And what the other books afterwards damages nothing."""
    one, two = (the_run(tmp_path, files, job) for job in ("1-of-2", "2-of-2"))
    ledger = Ledger()
    with two.claimed(ledger, {"model": "m"}, RELIEF):
        ledger.book("scores")
        compute(one)
        ledger.book("picker")
        with two.completing() as by_another:
            assert by_another == dataclasses.replace(FOUND, reused=False)
    assert the_run(tmp_path, files).finished() == FOUND
    both = Ledger()
    both.keep_in(two.out / two.metrics)
    assert [row["stage"] for row in both.stages()] == ["load", "scores", "picker"]


def test_the_turn_to_write_is_one_jobs_alone(tmp_path, files):
    one, two = (the_run(tmp_path, files, job) for job in ("1-of-2", "2-of-2"))
    order = []

    def second():
        with two.claimed(Ledger(), {}, RELIEF), two.completing() as by_another:
            order.append(by_another)

    thread = threading.Thread(target=second)
    with one.claimed(Ledger(), {}, RELIEF), one.completing() as by_another:
        assert by_another is None
        thread.start()
        thread.join(1)
        assert thread.is_alive()
        (one.out / "y").write_bytes(b"two")
        one.finish(Sum(sum=2), ["y"], {})
    thread.join()
    assert order == [dataclasses.replace(FOUND, reused=False)]


def test_other_settings_or_inputs_are_refused(tmp_path, files):
    compute(the_run(tmp_path, files))
    with pytest.raises(InputError, match="a was 1 and is now 2"):
        the_run(tmp_path, files, a=2).finished()
    (tmp_path / "data").write_bytes(b"other")
    with pytest.raises(InputError, match=r"inputs\.data was"):
        the_run(tmp_path, files).finished()


def test_what_only_rounds_may_change(tmp_path, files):
    values = {"tokens_per_batch": 8, "training": {"micro_batch": 2, "steps": 3}}
    compute(the_run(tmp_path, files, **values))
    other = {"tokens_per_batch": 4, "training": {"micro_batch": None, "steps": 3}}
    assert the_run(tmp_path, files, **other).finished() == FOUND
    settings = read_settings(tmp_path / "run")
    assert settings == {"a": 1, **values}  # as it was started first
    other["training"]["steps"] = 4
    with pytest.raises(InputError, match=r"training\.steps was 3 and is now 4"):
        the_run(tmp_path, files, **other).finished()


def test_the_model_is_read_again_only_where_it_may_have_changed(tmp_path, files):
    compute(the_run(tmp_path, files))
    weights = tmp_path / "weights"
    before = weights.stat()
    weights.write_bytes(b"0" * before.st_size)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert the_run(tmp_path, files).finished() == FOUND  # not looked at
    os.utime(weights)
    with pytest.raises(InputError, match=r"inputs\.model was"):
        the_run(tmp_path, files).finished()
    weights.write_bytes(b"weights")  # the same content at another time
    assert the_run(tmp_path, files).finished() == FOUND


DAMAGE = {
    "flipped": lambda path: path.write_bytes(
        bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]
    ),
    "truncated": lambda path: path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2]
    ),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": pathlib.Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_never_finished(tmp_path, files, damage, capfd):
    """Outputs are computed again; what says whose they are is refused by name."""
    compute(the_run(tmp_path, files))
    out = tmp_path / "run"
    for name in ("folder/x", "y", "sum.json", "metrics.jsonl"):
        DAMAGE[damage](out / name)
        run = the_run(tmp_path, files)
        assert run.finished() is None, name
        is_gone = (name, damage) == ("sum.json", "deleted")  # as never finished
        assert (name in capfd.readouterr().err) != is_gone
        compute(run)
        assert the_run(tmp_path, files).finished() == FOUND
    for name in ("run.yaml", "manifest.json"):
        content = (out / name).read_bytes()
        DAMAGE[damage](out / name)
        with pytest.raises(InputError, match=r"run\.yaml|manifest\.json|another run"):
            compute_or_show(the_run(tmp_path, files))
        (out / name).write_bytes(content)


def compute_or_show(run: Run):
    return run.finished() or compute(run)


def test_what_is_written_beside_a_run_is_nobodys_business(tmp_path, files):
    compute(the_run(tmp_path, files))
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert the_run(tmp_path, files).finished() == FOUND


def test_a_run_of_before_hashes_is_refused(tmp_path, files):
    run = the_run(tmp_path, files)
    compute(run)
    (run.out / "manifest.json").write_text('{"inputs": {}}')
    with pytest.raises(InputError, match=r"manifest\.json: is missing, damaged"):
        the_run(tmp_path, files).finished()


def test_one_process_at_a_time(tmp_path, files):
    run = the_run(tmp_path, files)
    run.out.mkdir()
    with (
        locked(run.out, run.job),
        pytest.raises(InputError, match="another process works in it"),
    ):
        compute(run)
    compute(run)


def test_an_error_is_a_word(tmp_path, files, capfd):
    run = the_run(tmp_path, files)
    with (
        pytest.raises(KeyboardInterrupt),
        run.claimed(Ledger(), {}, RELIEF),
    ):
        raise KeyboardInterrupt
    compute(run)
    assert capfd.readouterr().err == ""


def test_others_write_nothing(tmp_path, files, monkeypatch):
    run = the_run(tmp_path, files)
    monkeypatch.setattr(processes, "is_first", lambda: False)
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    with pytest.raises(InputError) as caught, run.claimed(Ledger(), {}, RELIEF):
        pass
    assert not run.out.exists()
    # what a process of another host says where the folder is not shared
    assert str(caught.value) == (
        f"out {run.out}: process 0 does not see there what process 0 wrote; "
        "expected one folder that every host sees."
    )
    run.out.mkdir()
    (run.out / "run.yaml").touch()
    with run.claimed(Ledger(), {}, RELIEF):
        pass
    (run.out / "sum.json").write_text('{"schema": 1, "sum": 2}')
    assert run.of_first() == Outcome(Sum(sum=2), reused=False)
