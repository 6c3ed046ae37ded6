"""A process alone; several are in tests/commands/test_several_processes.py."""

import os

from ntkjax.devices import processes
from ntkjax.runs import inputs as module
from ntkjax.runs.inputs import hash_inputs, stamps_of
from ntkjax.store.run_directory import hash_files


def test_stamps_change_with_size_time_and_place(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    before = stamps_of([path])
    assert before == stamps_of([path])
    assert before[0][:2] == [str(path), 3]
    os.utime(path, ns=(1, 1))
    later = stamps_of([path])
    path.write_bytes(b"three")
    os.utime(path, ns=(1, 1))
    longer = stamps_of([path])
    path.rename(tmp_path / "other")
    moved = stamps_of([tmp_path / "other"])
    assert len({str(s) for s in (before, later, longer, moved)}) == 4


def test_what_is_known_is_not_read(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    files = {name: [tmp_path / name] for name in "ab"}
    found = hash_inputs(files, {"a": "known"})
    assert found == {"a": "known", "b": hash_files(files["b"])}


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
    monkeypatch.setattr(module, "hash_files", None)  # it is not called
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
