import os
import subprocess
import sys

import google.auth.exceptions
import pytest
from etils import epath

from ntkjax.errors import InputError
from ntkjax.store.bucket import reason_of, require_reachable
from ntkjax.store.run_directory import open_run, require_writable


def test_a_small_object_comes_and_goes(bucket):
    stored = []
    bucket.watch = stored.append
    require_reachable(bucket.path("run"), "out")
    (name,) = stored
    assert name.startswith("run/.probe-")
    assert name.endswith(".partial")
    assert not bucket.objects
    require_reachable(bucket.path("run"), "out")
    assert len(stored) == 1  # once is enough


def test_local_folders_are_not_touched(tmp_path):
    require_reachable(tmp_path / "new", "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("field", ["out", "stages"])
@pytest.mark.parametrize(
    ("status", "message", "says"),
    [
        (401, "Anonymous caller has no access", r"no credentials .*gcloud auth appl"),
        (403, "No storage.objects.create", r"permission denied.*storage\.objectAdmin"),
        (404, "The bucket does not exist.", r"no such bucket; make it first"),
        (400, "Bucket name is invalid", r"cannot be written: .*is invalid"),
        (400, "Something else", r"cannot be written: Something else"),
        (409, "In the way", r"cannot be written: In the way"),
    ],
)
def test_a_refusal_is_one_line(bucket, capfd, field, status, message, says):
    bucket.refusal = status, message
    with pytest.raises(
        InputError, match=rf"^{field} gs://bucket/run: {says}"
    ) as caught:
        require_writable(bucket.path("run"), field)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    bucket.refusal = None
    require_writable(bucket.path("run"), field)  # a mended one is reached


def test_another_bucket(bucket):
    with pytest.raises(InputError, match=r"out gs://other/run: no such bucket"):
        require_reachable(epath.Path("gs://other/run"), "out")


def test_without_credentials(bucket, monkeypatch):
    def none(*_, **__):
        raise google.auth.exceptions.DefaultCredentialsError("None\nwere found.")

    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setattr("google.auth.default", none)
    with pytest.raises(
        InputError,
        match=r"^out gs://bucket/run: no credentials that .* \(None were found\)\.$",
    ):
        require_reachable(bucket.path("run"), "out")
    assert not bucket.requests


def test_without_gcsfs(bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InputError, match=r'out gs://.*: pip install "ntkjax\[gcs\]"'):
        require_reachable(bucket.path("run"), "out")


def test_other_libraries_paths_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"s3://b/x: .* expected a local folder or gs"):
        require_reachable(epath.Path("s3://b/x"), "out")


def test_no_network_is_not_taken_for_no_credentials():
    error = google.auth.exceptions.TransportError("no route to host")
    assert reason_of(error) == "cannot be reached: no route to host"


def test_an_error_without_words_has_its_name():
    assert reason_of(TimeoutError()) == "cannot be written: TimeoutError"


def test_gcsfs_is_loaded_for_buckets_only():
    code = (
        "import sys, pathlib; from ntkjax.store.bucket import require_reachable as r; "
        "r(pathlib.Path('x'), 'out'); print(*sys.modules)"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in out.stdout.split()}
    assert not loaded & {"gcsfs", "fsspec", "aiohttp", "google"}


def test_a_run_directory_in_a_bucket(bucket):
    out = bucket.path("run")
    open_run(out, {"seed": 0}, {"data": "a"})
    assert sorted(bucket.files("run")) == ["manifest.json", "run.yaml"]
    open_run(out, {"seed": 0}, {"data": "a"})
    with pytest.raises(InputError, match=r"out gs://.* another run: seed was 0"):
        open_run(out, {"seed": 1}, {"data": "a"})
    bucket.objects["mine/thesis.tex"] = (b"", 1)
    with pytest.raises(InputError, match=r"gs://bucket/mine: the directory is not emp"):
        open_run(bucket.path("mine"), {"seed": 0}, {})


def test_what_other_processes_write_is_seen_at_once(bucket):
    require_reachable(bucket.path("run"), "out")
    path = bucket.path("run/late")
    assert not path.exists()
    assert not list(bucket.path("run").glob("*"))
    bucket.objects["run/late"] = (b"now", 1)
    assert path.exists()
    assert list(bucket.path("run").glob("*")) == [path]
    assert path.read_bytes() == b"now"
    assert os.fspath(path) == "gs://bucket/run/late"
