"""A process alone; several are in tests/commands/test_several_processes.py."""

import json
from dataclasses import dataclass

import pytest

from ntkjax.devices import processes
from ntkjax.errors import InputError
from ntkjax.runs import shared_run
from ntkjax.runs.shared_run import (
    hash_inputs,
    is_finished,
    open_shared_run,
    result_of_first,
)
from ntkjax.store.results import write_result
from ntkjax.store.run_directory import hash_files


def test_alone_it_is_open_run(tmp_path):
    out = open_shared_run(tmp_path / "run", {"a": 1}, {"model": "x"}, {"fact": 2})
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest == {"inputs": {"model": "x"}, "fact": 2}
    with pytest.raises(InputError, match="a was 1 and is now 2"):
        open_shared_run(out, {"a": 2}, {"model": "x"})


def test_others_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    monkeypatch.setattr(shared_run, "_PATIENCE", 0.0)
    with pytest.raises(InputError) as caught:
        open_shared_run(tmp_path / "run", {}, {})
    assert list(tmp_path.iterdir()) == []
    # what a process of another host says where the folder is not shared
    assert str(caught.value) == (
        f"--out {tmp_path / 'run'}: process 0 does not see there what process 0 wrote; "
        "expected one folder that every host sees."
    )
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").touch()
    assert open_shared_run(tmp_path / "run", {}, {}) == tmp_path / "run"


def test_the_first_process_reads_inputs_whole_and_the_others_their_ends(
    tmp_path, monkeypatch
):
    names = ("weights", "config")
    files = {name: [tmp_path / name] for name in names}
    (tmp_path / "config").write_text("small")
    content = bytearray(5 * 2**20)
    (tmp_path / "weights").write_bytes(content)
    whole = {name: hash_files(paths) for name, paths in files.items()}
    assert hash_inputs(files) == whole
    compared = []
    monkeypatch.setattr(processes, "is_joined", lambda: True)
    monkeypatch.setattr(processes, "is_first", lambda: False)
    monkeypatch.setattr(processes, "require_same", compared.append)
    monkeypatch.setattr(processes, "from_first", lambda own: own or whole)
    monkeypatch.setattr(shared_run, "hash_files", None)  # it is not called
    assert hash_inputs(files) == whole
    for place in (0, 2**20, -1):
        content[place] ^= 1
        (tmp_path / "weights").write_bytes(content)
        hash_inputs(files)
    before, *after = [seen["file 1 of weights, weights,"] for seen in compared]
    assert before.startswith("5242880 bytes, ")
    assert [found == before for found in after] == [False, False, False]
    assert after[0] == after[1] != after[2]  # the middle is left to the first process
    assert len({seen["file 1 of config, config,"] for seen in compared}) == 1


def test_notes_of_processes_do_not_claim_a_directory(tmp_path):
    (tmp_path / "processes").mkdir()
    open_shared_run(tmp_path, {"a": 1}, {})
    assert (tmp_path / "run.yaml").exists()


@dataclass(frozen=True, kw_only=True)
class Found:
    schema: int = 1
    found: int


def test_a_result(tmp_path):
    assert not is_finished(tmp_path / "result.json")
    write_result(tmp_path / "result.json", Found(found=3))
    assert is_finished(tmp_path / "result.json")
    assert result_of_first(tmp_path / "result.json", Found) == Found(found=3)
