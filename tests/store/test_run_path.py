from pathlib import Path

import pytest
from etils import epath

from ntkjax.errors import InputError
from ntkjax.store.run_path import RunPath, absolute, is_remote, run_path


@pytest.mark.parametrize("text", ["runs/a", "/runs/a", "./a", "a:b/c", "C:/runs", "~"])
def test_local_paths(text):
    assert run_path(text) == Path(text)
    assert isinstance(run_path(text), Path)
    assert not is_remote(run_path(text))
    assert absolute(run_path(text)) == Path(text).absolute()


@pytest.mark.parametrize("text", ["gs://bucket", "gs://bucket/runs/a"])
def test_a_folder_of_a_bucket(text):
    path = run_path(text)
    assert isinstance(path, epath.Path)
    assert isinstance(path, RunPath)
    assert is_remote(path)
    assert is_remote(path / "below")
    assert str(path) == str(absolute(path)) == text


def test_a_slash_at_the_end_changes_nothing():
    assert run_path("gs://bucket/run/") == run_path("gs://bucket/run")


@pytest.mark.parametrize(
    "text",
    ["ftp://host/x", "s3://b/x", "file:///x", "gs:/bucket/x", "gs://", "gs:///x"],
)
def test_other_places_are_refused(text):
    with pytest.raises(InputError, match=r"expected a local folder or gs://BUCKET/"):
        run_path(text)
