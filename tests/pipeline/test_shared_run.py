"""A process alone; several are in tests/cli/test_several_processes.py."""

import json

import pytest

from ntkjax.devices import processes
from ntkjax.errors import InputError
from ntkjax.pipeline.shared_run import is_finished, open_shared_run, result_of_first


def test_alone_it_is_open_run(tmp_path):
    out = open_shared_run(tmp_path / "run", {"a": 1}, {"model": "x"}, {"fact": 2})
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest == {"inputs": {"model": "x"}, "fact": 2}
    with pytest.raises(InputError, match="a was 1 and is now 2"):
        open_shared_run(out, {"a": 2}, {"model": "x"})


def test_others_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    assert open_shared_run(tmp_path / "run", {}, {}) == tmp_path / "run"
    assert list(tmp_path.iterdir()) == []


def test_notes_of_processes_do_not_claim_a_directory(tmp_path):
    (tmp_path / "processes").mkdir()
    open_shared_run(tmp_path, {"a": 1}, {})
    assert (tmp_path / "run.yaml").exists()


def test_a_result(tmp_path):
    assert not is_finished(tmp_path / "result.json")
    (tmp_path / "result.json").write_text('{"found": 3}')
    assert is_finished(tmp_path / "result.json")
    assert result_of_first(tmp_path / "result.json") == {"found": 3}
