import hashlib
import shutil

import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.store import seals
from ntkjax.store.seals import (
    SEAL,
    add_to_seal,
    config_hash,
    damage,
    damages,
    described,
    file_hash,
    files_of,
    is_sealed,
    seal,
    sealed_files,
    tensors_hash,
)


FILES = {"empty": b"", "a.json": b"{}", "below/deep/b": bytes(range(256))}


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path):
    """A folder that holds `FILES`."""
    folder = tmp_path / "run"
    if request.param == "remote":
        folder = request.getfixturevalue("bucket").path("run")
    for name, content in FILES.items():
        if request.param == "local":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_what_was_sealed_is_whole(folder):
    assert not is_sealed(folder)
    assert damage(folder) == "seal.json is missing or damaged"
    files = seal(folder)
    assert is_sealed(folder)
    assert damage(folder) is None
    assert files == sealed_files(folder)
    assert files == {name: described(content) for name, content in FILES.items()}
    assert seal(folder) == files  # they are without the seal


def test_any_other_byte_of_any_file_is_damage(folder):
    seal(folder)
    found = {}
    for name in ("a.json", "below/deep/b", SEAL):
        content = (folder / name).read_bytes()
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 1])
        kinds = {
            "flipped": content[:middle] + flipped + content[middle + 1 :],
            "cut": content[:middle],
            "emptied": b"",
            "deleted": None,
        }
        for kind, damaged in kinds.items():
            (folder / name).unlink()
            if damaged is not None:
                (folder / name).write_bytes(damaged)
            found[name, kind] = damage(folder)
        (folder / name).write_bytes(content)
        assert damage(folder) is None
    no_seal = "seal.json is missing or damaged"
    assert found == {
        ("a.json", "flipped"): "a.json has other bytes than were written",
        ("a.json", "cut"): "a.json has 1 bytes in place of 2",
        ("a.json", "emptied"): "a.json has 0 bytes in place of 2",
        ("a.json", "deleted"): "a.json is missing",
        ("below/deep/b", "flipped"): "below/deep/b has other bytes than were written",
        ("below/deep/b", "cut"): "below/deep/b has 128 bytes in place of 256",
        ("below/deep/b", "emptied"): "below/deep/b has 0 bytes in place of 256",
        ("below/deep/b", "deleted"): "below/deep/b is missing",
        **{(SEAL, kind): no_seal for kind in kinds},
    }


def test_a_folder_that_is_not_there_is_not_whole(tmp_path):
    assert not is_sealed(tmp_path / "none")
    assert damage(tmp_path / "none") == "seal.json is missing or damaged"


def test_what_is_no_file_is_missing(tmp_path):
    (tmp_path / "a").write_text("x")
    seal(tmp_path)
    (tmp_path / "a").unlink()
    (tmp_path / "a").mkdir()
    assert damage(tmp_path) == "a is missing"
    shutil.move(tmp_path / SEAL, tmp_path / "a")
    (tmp_path / SEAL).mkdir()
    assert damage(tmp_path) == "seal.json is missing or damaged"


def test_other_files_are_not_asked_about(tmp_path):
    (tmp_path / ".a.1.partial").write_text("what a kill left")
    assert seal(tmp_path) == {}
    (tmp_path / "note").write_text("of the user")
    assert damage(tmp_path) is None


def test_some_files_are_noted_elsewhere(folder):
    files = files_of(folder, ["below", "a.json"])
    assert list(files) == ["a.json", "below/deep/b"]
    (folder / "empty").write_bytes(b"no more")
    assert dict(damages(folder, files)) == {}
    (folder / "a.json").write_bytes(b"[]")
    (folder / "below" / "deep" / "b").unlink()
    assert dict(damages(folder, files)) == {
        "a.json": "a.json has other bytes than were written",
        "below/deep/b": "below/deep/b is missing",
    }
    with pytest.raises(FileNotFoundError, match="none"):
        files_of(folder, ["none"])


def test_a_full_disk_leaves_no_seal(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match=r"seal\.json: the disk is full"):
        seal(tmp_path)
    assert not is_sealed(tmp_path)


def test_every_file_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("y")
    read = []
    look = seals._look
    monkeypatch.setattr(seals, "_look", lambda path: read.append(path) or look(path))
    seal(tmp_path)
    assert damage(tmp_path) is None
    assert sorted(path.name for path in read) == ["a", "a", "b", "b"]


def test_a_file_that_came_later_is_sealed_alone(tmp_path, monkeypatch):
    read = []
    look = seals._look
    monkeypatch.setattr(seals, "_look", lambda path: read.append(path) or look(path))
    files = seal(tmp_path)
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
        files = add_to_seal(tmp_path, files, name)
    assert [path.name for path in read] == ["b", "a"]
    assert files == sealed_files(tmp_path) == files_of(tmp_path)
    assert list(files) == ["a", "b"]
    (tmp_path / SEAL).write_text("{}")
    with pytest.raises(InputError, match=r"seal\.json: missing or damaged"):
        sealed_files(tmp_path)


def test_tensors_have_a_hash():
    arrays = {"a": np.arange(6, dtype=np.float32), "b": np.array(True)}
    others = [
        {"a": arrays["a"]},
        arrays | {"a": arrays["a"].reshape(2, 3)},
        arrays | {"a": arrays["a"].astype(np.int32)},
        arrays | {"b": np.array(False)},
        {"c": arrays["a"], "b": arrays["b"]},
    ]
    hashes = {tensors_hash(each) for each in (arrays, *others)}
    assert len(hashes) == len(others) + 1
    assert tensors_hash(dict(reversed(arrays.items()))) == tensors_hash(arrays)


def test_a_hash_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10**6)
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"x" * 10**6).hexdigest()


def test_config_hash_is_of_the_values_alone():
    values = {"a": 1, "b": {"c": [1.5, None, "é"], "d": True}}
    turned = {"b": {"d": True, "c": [1.5, None, "é"]}, "a": 1}
    assert config_hash(values) == config_hash(turned)
    assert len(config_hash(values)) == 64
    others = [{}, {**values, "a": 2}, {**values, "a": "1"}, {**values, "e": None}]
    assert len({config_hash(other) for other in [*others, values]}) == 5
    with pytest.raises(ValueError, match="not JSON compliant"):
        config_hash({"a": float("nan")})
