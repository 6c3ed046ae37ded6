import pytest

from ntkjax.store.atomic import is_partial
from ntkjax.store.folders import (
    copy_files,
    discard_folder,
    entries_of,
    make_folder,
    new_folder,
    publish,
    remove_folder,
    remove_within,
)


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path):
    """A folder that is not there yet."""
    if request.param == "local":
        return tmp_path / "run"
    return request.getfixturevalue("bucket").path("run")


def names(folder) -> list[str]:
    return sorted(path.name for path in entries_of(folder))


def fill(folder, *files) -> None:
    make_folder(folder)
    for name in files:
        (folder / name).write_bytes(name.encode())


def test_nothing_is_made_in_a_bucket(bucket):
    make_folder(bucket.path("run/below"))
    assert not bucket.requests
    assert entries_of(bucket.path("run")) == []


def test_entries(folder):
    fill(folder, "a", "b")
    fill(folder / "below", "c")
    assert names(folder) == ["a", "b", "below"]


def test_the_mark_of_an_empty_folder_is_no_entry(bucket):
    bucket.objects["run/"] = (b"", 1)
    bucket.objects["run/a"] = (b"a", 2)
    assert names(bucket.path("run")) == ["a"]


def test_removing(folder):
    remove_folder(folder)  # that it is not there is no error
    fill(folder / "below", "a")
    remove_folder(folder)
    assert not folder.exists()


def test_discarding(folder):
    discard_folder(folder)
    fill(folder / "below", "a")
    discard_folder(folder)
    assert not folder.exists()


def test_a_discarded_folder_is_gone_in_one_step(tmp_path, monkeypatch):
    fill(tmp_path / "run", "a")
    monkeypatch.setattr("shutil.rmtree", lambda *arguments, **named: None)
    discard_folder(tmp_path / "run")
    (left,) = tmp_path.iterdir()
    assert is_partial(left)


def test_the_last_file_is_copied_last(bucket, tmp_path):
    stored = []
    bucket.watch = stored.append
    fill(tmp_path, "a", "history", "z")
    copy_files(tmp_path, bucket.path("run"), last="history")
    assert stored == ["run/a", "run/z", "run/history"]
    assert bucket.files("run") == {"a": b"a", "z": b"z", "history": b"history"}


def test_a_new_folder_takes_the_place_of_the_old(folder):
    fill(folder, "last", "old")
    with new_folder(folder, "last") as filled:
        fill(filled, "new", "last")
    assert (folder / "last").exists()
    assert (folder / "new").exists()


def test_the_first_of_several_is_published(folder):
    beside = [folder.with_name(f"found {number}") for number in range(2)]
    fill(beside[0], "first", "last")
    fill(beside[1], "second", "last")
    for found in beside:
        publish(found, folder, "last")
    assert names(folder) == ["first", "last"]


def test_what_cannot_be_published_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "absent", tmp_path / "run", "last")


def test_the_first_of_two_that_are_filled_side_by_side_stays(tmp_path):
    folder = tmp_path / "run"
    with new_folder(folder, "last", replaces=False) as one:
        with new_folder(folder, "last", replaces=False) as two:
            fill(two, "two", "last")
        fill(one, "one", "last")
    assert names(folder) == ["last", "two"]
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_half_a_folder_is_not_there(folder, error):
    def half():
        with new_folder(folder, "last") as filled:
            fill(filled, "first")
            raise error

    with pytest.raises(error):
        half()
    assert not (folder / "last").exists()
    fill(folder, "last")
    with pytest.raises(error):
        half()
    # What was there before stays locally; in a bucket it no longer counts as whole.
    assert (folder / "last").exists() == (not str(folder).startswith("gs:"))


def test_inner_folders_are_removed_whole(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/x", "a/y", "kept", "z"):
        (tmp_path / name).write_bytes(b"")
    remove_within(tmp_path, ["a/x", "z", "absent"])
    assert names(tmp_path) == ["kept"]
