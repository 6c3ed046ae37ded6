import subprocess
import sys
import time
from pathlib import Path

from ntkjax.devices import processes
from ntkjax.runs.last_start import noted, say_last_start
from ntkjax.store.run_directory import read_json


RELIEF = {"warm-up": "training.micro_batch", "": "tokens_per_batch"}
FREE = ("tokens_per_batch", "training.micro_batch")

DIE = """
import os, pathlib, signal, sys, time
from ntkjax.devices import processes
from ntkjax.runs.last_start import noted
with noted(pathlib.Path(sys.argv[1])):
    processes.note_stage("scores")
    while "scores" not in pathlib.Path(sys.argv[1]).read_text():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_its_stage_and_memory(tmp_path, capfd):
    note = tmp_path / "note.json"
    note.write_text("{}")
    subprocess.run([sys.executable, "-c", DIE, str(note)], check=False)
    peak = read_json(note)["peak_mib"]
    assert 20 < peak < 20_000
    say_last_start(note, RELIEF, FREE)
    assert capfd.readouterr().err == (
        f"the last start ended without a word in scores, at a peak of {peak:,.0f} MiB;"
        " if it ran out of memory, a smaller --tokens-per-batch needs less. Going on.\n"
    )


def test_the_note_follows_the_stage_and_goes_at_the_end(tmp_path, capfd, monkeypatch):
    note = tmp_path / "note.json"
    monkeypatch.setattr(processes, "_stage", "load")
    with noted(note):
        deadline = time.monotonic() + 10
        while not note.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert read_json(note)["stage"] == "load"
        processes.note_stage("warm-up")
        while read_json(note)["stage"] == "load" and time.monotonic() < deadline:
            time.sleep(0.01)
        say_last_start(note, RELIEF, FREE)
        assert "--training.micro-batch" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_note_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    note, seen, write = tmp_path / "note.json", [], Path.write_bytes

    def slow(path, content):
        path.touch()
        seen.append(note.exists())
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", slow)
    with noted(note):
        deadline = time.monotonic() + 10
        while not note.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert set(read_json(note)) == {"stage", "peak_mib"}
    assert seen[0] is False


def test_nothing_is_said_without_a_note_or_of_one_that_is_none(tmp_path, capfd):
    odd = b'{"stage": 1, "peak_mib": "much"}'
    for content in (None, b"", b"{}", b"[]", odd):
        if content is not None:
            (tmp_path / "note").write_bytes(content)
        say_last_start(tmp_path / "note", RELIEF, FREE)
    assert capfd.readouterr().err == ""


def test_what_decides_numbers_takes_a_new_directory(tmp_path, capfd):
    note = tmp_path / "note"
    note.write_text('{"stage": "kernels", "peak_mib": 5}')
    say_last_start(note, {"": "max_length"}, FREE)
    said = "a smaller --max-length, in a new directory, needs less. Going on.\n"
    assert said in capfd.readouterr().err
