import contextlib
import dataclasses
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from ntkjax.errors import InputError
from ntkjax.store import run_directory
from ntkjax.store.run_directory import (
    add_to_manifest,
    first_difference,
    hash_files,
    open_run,
    plain_values,
    read_json,
    read_manifest,
    read_settings,
    require_writable,
)
from ntkjax.store.run_lock import in_turn


SETTINGS = {
    "seed": 0,
    "lora": {"rank": 8, "targets": ["q_proj"]},
    "name": "Θ",
    "x": None,
}
INPUTS = {"model": "abc", "data": "def"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_directory_says_what_made_it(tmp_path):
    out = tmp_path / "new" / "run"
    assert open_run(out, SETTINGS, INPUTS) == out
    text = (out / "run.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == SETTINGS
    assert "Θ" in text
    assert list(yaml.safe_load(text)) == list(SETTINGS)  # in the order given


def test_settings_are_read_again(tmp_path):
    open_run(tmp_path, SETTINGS, INPUTS)
    assert read_settings(tmp_path) == SETTINGS
    (tmp_path / "run.yaml").write_bytes(b"\xff")
    assert read_settings(tmp_path) is None


def test_the_first_difference_by_name():
    first = {"b": 1, "a": {"z": 1, "y": [1]}, "c": None}
    assert first_difference(first, {"b": 1, "a": {"z": 1, "y": [1]}}) is None
    second = {"b": 2, "a": {"z": 1, "y": [2]}}
    assert first_difference(first, second) == ("a.y", [1], [2])
    assert first_difference(first, {**first, "a": 3}) == ("a", first["a"], 3)


def test_an_empty_directory_will_do(tmp_path):
    open_run(tmp_path, SETTINGS, INPUTS)
    assert sorted(os.listdir(tmp_path)) == ["manifest.json", "run.yaml"]


def test_the_manifest_says_more_of_a_new_directory_alone(tmp_path):
    open_run(tmp_path, SETTINGS, INPUTS, {"model": "first"})
    assert read_manifest(tmp_path) == {"inputs": INPUTS, "model": "first"}
    open_run(tmp_path, SETTINGS, INPUTS, {"model": "second"})
    assert read_manifest(tmp_path)["model"] == "first"


def test_the_same_settings_may_run_again(tmp_path):
    open_run(tmp_path, SETTINGS, INPUTS)
    (tmp_path / "kernels.safetensors").write_bytes(b"result")
    before = contents(tmp_path)
    open_run(tmp_path, SETTINGS, INPUTS)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("settings", "inputs", "message"),
    [
        ({"seed": 1}, {}, "seed was 0 and is now 1"),
        ({"lora": {"rank": 4, "targets": ["q_proj"]}}, {}, "lora.rank was 8 .* now 4"),
        ({"lora": {"rank": 8, "targets": ["v_proj"]}}, {}, r"lora.targets was \['q_pr"),
        ({"lora": None}, {}, "lora was {'rank'.* and is now None"),
        ({"name": "T"}, {}, "name was 'Θ' and is now 'T'"),
        ({"x": 3}, {}, "x was None and is now 3"),
        ({"later": 3}, {}, "later was None and is now 3"),
        ({}, {"model": "other"}, "inputs.model was 'abc' and is now 'other'"),
        ({}, {"adapter": "ghi"}, "inputs.adapter was None and is now 'ghi'"),
    ],
)
def test_another_run_is_refused_with_the_first_difference(
    tmp_path, settings, inputs, message
):
    open_run(tmp_path, SETTINGS, INPUTS)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=f"out .* another run: {message}"):
        open_run(tmp_path, SETTINGS | settings, INPUTS | inputs)
    assert contents(tmp_path) == before


def test_a_setting_that_is_gone_is_a_difference(tmp_path):
    open_run(tmp_path, SETTINGS, INPUTS)
    less = {key: value for key, value in SETTINGS.items() if key != "seed"}
    with pytest.raises(InputError, match="seed was 0 and is now None"):
        open_run(tmp_path, less, INPUTS)


def test_somebody_elses_directory_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"not empty and holds no run\.yaml"):
        open_run(tmp_path, SETTINGS, INPUTS)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_run_killed_before_its_first_file_was_whole_may_start_again(tmp_path):
    (tmp_path / ".run.yaml.4711.partial").touch()
    open_run(tmp_path, SETTINGS, INPUTS)
    assert (tmp_path / "run.yaml").exists()


def test_a_job_of_the_same_run_may_claim_it_at_the_same_moment(tmp_path, monkeypatch):
    """On another host, where the lock is not seen."""
    exists = Path.exists

    def exists_and_then_claimed(path):
        before = exists(path)
        monkeypatch.setattr(Path, "exists", exists)
        open_run(tmp_path, SETTINGS, INPUTS)
        return before

    no_lock = lambda path, wait: contextlib.nullcontext()
    monkeypatch.setattr(run_directory, "in_turn", no_lock)
    monkeypatch.setattr(Path, "exists", exists_and_then_claimed)
    assert open_run(tmp_path, SETTINGS, INPUTS) == tmp_path


def test_a_directory_is_claimed_in_turn(tmp_path):
    """What another process claims just now is seen, and not written over."""
    with ThreadPoolExecutor(1) as pool:
        with in_turn(tmp_path / ".run-claim.lock", lambda: None):
            second = pool.submit(open_run, tmp_path, {**SETTINGS, "seed": 9}, INPUTS)
            time.sleep(0.2)
            assert not second.done()
            run_directory._claim(tmp_path, SETTINGS, INPUTS, {}, ())
        with pytest.raises(InputError, match="another run"):
            second.result(60)


def test_out_is_a_file(tmp_path):
    path = tmp_path / "run"
    path.write_text("mine")
    for out in (path, path / "below"):
        with pytest.raises(InputError, match=r"out .*cannot be written"):
            open_run(out, SETTINGS, INPUTS)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "content", [b"", b"text", b"- 1", b"{", b"a: b: c", b"\xff\xfe\x00", b"1: 2"]
)
def test_damaged_settings(tmp_path, content):
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"out .*(damaged|another run)"):
        open_run(tmp_path, SETTINGS, INPUTS)
    assert (tmp_path / "run.yaml").read_bytes() == content


def test_a_manifest_knows_its_bytes(tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(InputError, match=r"manifest\.json: is missing"):
        read_manifest(tmp_path)
    open_run(tmp_path, SETTINGS, INPUTS)
    assert read_manifest(tmp_path) == {"inputs": INPUTS}
    facts = {"versions": {"jax": "1"}, "precision": "float32"}
    for _ in range(2):  # a run that is computed again adds them again
        add_to_manifest(tmp_path, facts)
        assert read_manifest(tmp_path) == {"inputs": INPUTS, **facts}
    open_run(tmp_path, SETTINGS, INPUTS)  # still its own
    whole = path.read_text()
    for damaged in (whole.replace("float32", "float16"), "[]", "{}", ""):
        path.write_text(damaged)
        for read in (read_manifest, lambda out: open_run(out, SETTINGS, INPUTS)):
            with pytest.raises(InputError, match=r"manifest\.json: is missing"):
                read(tmp_path)


def test_run_yaml_holds_the_settings_alone(tmp_path):
    open_run(tmp_path, SETTINGS, INPUTS)
    assert yaml.safe_load((tmp_path / "run.yaml").read_text()) == SETTINGS


def test_a_run_killed_between_its_first_two_files_can_start_again(tmp_path):
    (tmp_path / "manifest.json").write_text('{"inputs": {}}')
    open_run(tmp_path, SETTINGS, INPUTS)
    open_run(tmp_path, SETTINGS, INPUTS)


@pytest.mark.parametrize("content", [None, b"", b"{", b'"\xff"'])
def test_a_json_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "fidelity.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"fidelity\.json: cannot be read"):
        read_json(path)


def test_hash_of_files(tmp_path):
    def written(folder, **files):
        folder = tmp_path / folder
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return [folder / name for name in files]

    first = written("a", x=b"1", y=b"2")
    # Neither the folder nor the order of the list matters, names and bytes do.
    assert hash_files(first) == hash_files(first[::-1])
    assert hash_files(first) == hash_files(written("b", y=b"2", x=b"1"))
    others = [
        written("c", x=b"1", y=b"3"),
        written("d", x=b"2", y=b"1"),
        written("e", x=b"1", z=b"2"),
        written("f", x=b"1"),
        written("g", x=b"12", y=b""),
    ]
    hashes = {hash_files(paths) for paths in [first, *others]}
    assert len(hashes) == 6
    assert all(len(one) == 64 for one in hashes)


@dataclasses.dataclass(frozen=True)
class Inner:
    paths: tuple[Path, ...]
    rate: float


@dataclasses.dataclass(frozen=True)
class Outer:
    model: str
    out: Path
    inner: Inner
    files: list[Path]
    missing: Path | None = None


def test_plain_values():
    settings = Outer("m", Path("/r"), Inner((Path("a"), Path("b")), 1e-5), [Path("c")])
    values = plain_values(settings, without=("out",))
    assert values == {
        "model": "m",
        "inner": {"paths": ["a", "b"], "rate": 1e-5},
        "files": ["c"],
        "missing": None,
    }
    assert "out" in plain_values(settings)


def test_plain_values_of_settings_survive_a_run_directory(tmp_path):
    rates = [1e-5, 1e16, 0.1, 3.0, float(np.float32(0.1))]
    for index, rate in enumerate(rates):
        settings = Outer("1e-5", Path("no"), Inner((Path("true"),), rate), [])
        out = tmp_path / str(index)
        for _ in range(2):  # the second time it is compared with what YAML gave back
            open_run(out, plain_values(settings), {"data": "0123"})


def test_a_folder_that_cannot_be_written_is_named_with_its_flag(tmp_path):
    require_writable(tmp_path / "new" / "folder", "stages")
    assert not list((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"^stages .*: cannot be written: "):
            require_writable(path, "stages")
