import errno
import json
import os

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from ntkjax.errors import InputError
from ntkjax.store.atomic import (
    tensor_bytes,
    write_atomically,
    write_bytes,
    write_json,
    write_tensors,
    write_text,
)


def test_a_failing_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "result.txt"
    write_text(path, "old")

    def half(beside):
        beside.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_first_write_leaves_nothing(tmp_path):
    def interrupted(beside):
        beside.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "result.txt", interrupted)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("write", [write_text, write_bytes, write_json, write_tensors])
def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path, monkeypatch, number, write):
    content = {write_bytes: b"new", write_tensors: {"a": np.zeros(3)}}.get(write, "new")
    path = tmp_path / "result"
    path.write_text("old")

    def full(source, target):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"result: the disk is full; finished files"):
        write(path, content)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has none")
def test_a_disk_that_fills_up_while_a_file_is_written(tmp_path):
    def fill(beside):
        beside.symlink_to("/dev/full")
        beside.write_bytes(bytes(10_000))

    with pytest.raises(InputError, match="the disk is full"):
        write_atomically(tmp_path / "result", fill)
    assert not os.listdir(tmp_path)


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "missing" / "a", "text")


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "result.txt"
    write_text(path, "old")
    seen = []

    def slowly(beside):
        beside.write_text("ne")
        seen.append(path.read_text())
        # beside it, so that the rename stays on one file system
        assert beside.parent == path.parent
        beside.write_text("new")

    write_atomically(path, slowly)
    assert seen == ["old"]
    assert path.read_text() == "new"


def test_text_is_utf8_whatever_the_locale(tmp_path):
    write_text(tmp_path / "a", "Σ Θ ᵀ\n")
    assert (tmp_path / "a").read_bytes() == "Σ Θ ᵀ\n".encode()


@pytest.mark.parametrize("bad", [np.nan, float("inf"), -float("inf")])
def test_json_without_nan(tmp_path, bad):
    path = tmp_path / "a.json"
    write_json(path, {"fine": [1, 2.5, None, "Θ"]})
    before = path.read_bytes()
    assert json.loads(before) == {"fine": [1, 2.5, None, "Θ"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"nested": [{"value": bad}]})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.json"]


def test_tensors_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "kernel": rng.normal(size=(5, 3)).astype(np.float32),
        "turned": rng.normal(size=(4, 6)).astype(np.float32).T,
        "strided": rng.normal(size=(9, 4)).astype(np.float32)[::2, 1:],
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.float32(2.5),
        "from float64": rng.normal(size=7),
    }
    path = tmp_path / "a.safetensors"
    write_tensors(path, arrays)
    found = load_file(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == np.shape(array), name
        assert (found[name] == np.asarray(array, np.float32)).all(), name
    with safe_open(path, framework="np") as file:
        assert file.metadata() == {"format": "pt"}  # PEFT and transformers ask for it
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_integers_and_booleans_keep_their_type(tmp_path):
    large = 2**62 + 1  # no float32 or float64 holds it
    arrays = {
        "int32": np.array([-3, 2**31 - 1], np.int32),
        "int64": np.array([[large], [-large]]),
        "uint8": np.arange(256, dtype=np.uint8),
        "bool": np.array([True, False])[::-1],
    }
    path = tmp_path / "a.safetensors"
    write_tensors(path, arrays)
    found = load_file(path)
    for name, array in arrays.items():
        assert found[name].dtype == name
        assert (found[name] == array).all()


def test_the_same_arrays_give_the_same_bytes():
    one, two = np.arange(3), np.ones(4, np.float32)
    assert tensor_bytes({"a": one, "b": two}) == tensor_bytes({"b": two, "a": one})
