"""Processes are threads here; test_cluster.py starts real ones."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ntkjax.commands.doctor import shared_folder
from ntkjax.commands.doctor.shared_folder import Sighting, look_for_each_other


class Threads:
    """Threads that exchange values as processes do."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.own = threading.local()
        self.barrier = threading.Barrier(count, timeout=30)
        self.values: list = [None] * count

    def gathered(self, value) -> list:
        self.values[self.own.index] = value
        self.barrier.wait()
        found = list(self.values)
        self.barrier.wait()
        return found

    def run(self, action, arguments: list) -> list:
        def one(index: int):
            self.own.index = index
            return action(arguments[index])

        with ThreadPoolExecutor(self.count) as pool:
            return list(pool.map(one, range(self.count)))


@pytest.fixture
def looked(monkeypatch):
    """Looks in these folders, one for each process; gives what each of them found."""
    monkeypatch.setattr(shared_folder, "_PATIENCE", 0.3)
    monkeypatch.setattr(shared_folder, "_PAUSE", 0.05)

    def look(folders) -> list[list[Sighting]]:
        threads = Threads(len(folders))
        monkeypatch.setattr(shared_folder, "gathered", threads.gathered)
        monkeypatch.setattr(
            shared_folder, "from_first", lambda value: threads.gathered(value)[0]
        )
        monkeypatch.setattr(
            shared_folder.jax, "process_index", lambda: threads.own.index
        )
        monkeypatch.setattr(shared_folder.jax, "process_count", lambda: threads.count)
        return threads.run(look_for_each_other, folders)

    return look


def test_one_folder(looked, tmp_path):
    found = looked([tmp_path / "out" / "inner"] * 3)
    assert found == [[Sighting("", True, True)] * 3] * 3
    assert list((tmp_path / "out" / "inner").iterdir()) == []


def test_a_folder_apart(looked, tmp_path):
    folders = [tmp_path / "a", tmp_path / "a", tmp_path / "b"]
    good, apart = Sighting("", True, True), Sighting("", False, False)
    assert looked(folders) == [[good, good, apart]] * 3
    assert [list(folder.iterdir()) for folder in folders] == [[], [], []]


@pytest.mark.parametrize("which", [0, 1])
def test_a_folder_that_cannot_be_made(looked, tmp_path, which):
    (tmp_path / "file").write_text("")
    folders = [tmp_path / "a", tmp_path / "a"]
    folders[which] = tmp_path / "file" / "a"
    for found in looked(folders):
        assert "Not a directory" in found[which].error
        assert found[1 - which].error == ""


def test_a_bucket(looked, bucket):
    assert looked([bucket.path("run")] * 2) == [[Sighting("", True, True)] * 2] * 2
    assert bucket.objects == {}


def test_a_bucket_that_refuses(looked, bucket):
    bucket.refusal = 403, "storage.objects.create is missing"
    [found] = looked([bucket.path("run")])
    assert found[0].error.startswith("out gs://bucket/run: permission denied: ")


def test_alone(looked, tmp_path):
    assert looked([tmp_path]) == [[Sighting("", True, True)]]


def test_what_was_there_stays(looked, tmp_path):
    (tmp_path / "process-0.json").write_text("{}")
    looked([tmp_path] * 2)
    assert os.listdir(tmp_path) == ["process-0.json"]
