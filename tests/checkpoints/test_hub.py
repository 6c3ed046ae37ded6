"""Hub ids, against a hub that a thread of this process serves."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from ntkjax.checkpoints.hub import download, parse_id
from ntkjax.checkpoints.loading import load_model, locate_model, model_files
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from tests.checkpoints.files import GOLDEN, PLAIN
from tests.checkpoints.hub_server import FIRST, SECOND, Hub, look_at, serving


SHARDED = GOLDEN / "llama" / "sharded"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with `llama/plain`, and a cache that is empty."""
    with serving(Hub()) as hub:
        hub.commit(FIRST, PLAIN, **{"vocab.txt": b"a"})
        look_at(monkeypatch, hub.url, tmp_path / "cache")
        yield hub


def message(name: str, revision: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        download(name, revision)
    text = str(caught.value)
    assert "\n" not in text
    asked = name if revision is None else f"{name}@{revision}"
    assert text.startswith(f"model {asked}: ")
    return text


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("owner/name", ("owner/name", None)),
        ("owner/name@main", ("owner/name", "main")),
        ("Qwen/Qwen2.5-0.5B@refs/pr/3", ("Qwen/Qwen2.5-0.5B", "refs/pr/3")),
        (f"o_1/n-2.b@{FIRST}", ("o_1/n-2.b", FIRST)),
        ("owner/name@", None),
        ("owner", None),
        ("owner@main", None),
        ("a/b/c", None),
        ("./name", None),
        ("../name", None),
        ("/owner/name", None),
    ],
)
def test_ids(text, parsed):
    assert parse_id(text) == parsed


def test_a_model_is_downloaded_once(hub):
    said = []
    first = download(hub.name, announce=said.append)
    assert first.commit == FIRST
    assert said == ["downloading owner/name from the hub"]
    assert load_model(first.folder, LoraSettings(2)).frozen
    before = [p for p in hub.requests if "/resolve/" in p]
    assert download(hub.name, announce=said.append) == first
    assert [p for p in hub.requests if "/resolve/" in p] == before
    assert len(said) == 1


def test_only_files_of_the_model_are_asked_for(hub):
    more = {
        "pytorch_model.bin": b"evil",
        "modeling_custom.py": b"evil",
        "consolidated.safetensors": b"twice",
        "original/params.json": b"{}",
        "onnx/model.safetensors": b"",
        "README.md": b"",
    }
    hub.files[FIRST] |= more
    folder = download(hub.name).folder
    assert not [p for p in hub.requests if p.split(f"{FIRST}/")[-1] in more]
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.json", "model.safetensors", "vocab.txt"}
    assert not names & more.keys()
    assert {path.name for path in model_files(folder)} == names


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub):
    hub.branches["v1"] = FIRST
    hub.commit(SECOND, SHARDED)
    assert download(hub.name).commit == SECOND
    assert download(hub.name, "v1").commit == FIRST
    assert download(hub.name, FIRST).commit == FIRST
    found = locate_model("owner/name@v1")
    assert (found.id, found.revision, found.commit) == ("owner/name", "v1", FIRST)
    held = locate_model("owner/name", commit=FIRST)
    assert (held.id, held.revision, held.commit) == ("owner/name", None, FIRST)
    assert held.folder == found.folder


def test_the_cache_serves_offline(hub, tmp_path, monkeypatch):
    online = download(hub.name)
    hub.requests.clear()
    look_at(monkeypatch, hub.url, tmp_path / "cache", offline=True)
    assert download(hub.name) == online
    assert download(hub.name, FIRST) == online
    assert not hub.requests


def test_the_cache_serves_while_the_hub_is_away(hub, monkeypatch, tmp_path):
    online = download(hub.name)
    hub.refusal = (503, {})
    assert download(hub.name) == online
    look_at(monkeypatch, "http://127.0.0.1:1", tmp_path / "cache")  # nobody listens
    assert download(hub.name) == online


def test_offline_and_not_in_the_cache(hub, tmp_path, monkeypatch):
    look_at(monkeypatch, hub.url, tmp_path / "cache", offline=True)
    text = message(hub.name)
    assert "not in the cache" in text
    assert "HF_HUB_OFFLINE=1" in text
    assert "give a folder" in text
    assert "not in the cache" in message(hub.name, "v1")


def test_offline_and_only_partly_in_the_cache(hub, tmp_path, monkeypatch):
    (download(hub.name).folder / "model.safetensors").unlink()
    look_at(monkeypatch, hub.url, tmp_path / "cache", offline=True)
    assert "only partly in the cache" in message(hub.name)


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model(hub, status):
    hub.refusal = (status, {"X-Error-Code": "GatedRepo"})
    text = message(hub.name)
    assert f"restricted; ask for it at {hub.url}/owner/name" in text
    assert "HF_TOKEN" in text


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {}),
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
    ],
)
def test_a_token_without_the_right(hub, status, headers):
    hub.refusal = (status, headers)
    text = message(hub.name)
    assert str(status) in text
    assert "HF_TOKEN" in text


def test_no_such_model(hub):
    assert "no such model on the hub" in message("owner/other")
    # What the real hub answers to strangers.
    hub.refusal = (401, {"X-Error-Code": "RepoNotFound"})
    assert "no such model on the hub" in message("owner/other")


@pytest.mark.parametrize("revision", ["v9", SECOND])
def test_no_such_revision(hub, revision):
    assert f"no revision {revision!r}" in message(hub.name, revision)


def test_no_network(monkeypatch, tmp_path):
    look_at(monkeypatch, "http://127.0.0.1:1", tmp_path / "cache")  # nobody listens
    text = message("owner/name")
    assert "the hub cannot be reached (" in text
    assert "not in the cache" in text


def test_a_hub_in_trouble(hub):
    hub.refusal = (503, {})
    assert "the hub answers 503" in message(hub.name)


def test_an_impossible_name(hub):
    assert "no hub id either" in message("a--b/c..d")


def test_a_download_that_breaks_off_goes_on_the_next_time(hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between retries
    hub.broken = {"model.safetensors"}
    text = message(hub.name)
    assert "the download broke off (" in text
    assert "run the same command again" in text
    hub.broken = set()
    hub.requests.clear()
    assert load_model(download(hub.name).folder, None).frozen
    fetched = {p.rpartition("/")[2] for p in hub.requests if "/resolve/" in p}
    assert fetched == {"model.safetensors"}  # the others came whole before


@pytest.mark.slow
def test_the_command_line_in_a_process_of_its_own(tmp_path):
    # As users have it: huggingface_hub reads its environment when it is imported.
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"prompt": "a", "response": "b"}) + "\n")
    with serving(Hub()) as hub:
        hub.refusal = (403, {"X-Error-Code": "GatedRepo"})
        told = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        words = ["evaluate", "--model=owner/name", f"--data={data}"]
        program = "from ntkjax.cli.main import script; script()"
        command = [sys.executable, "-c", program, *words, f"--out={tmp_path / 'run'}"]
        done = subprocess.run(
            command, env=os.environ | told, capture_output=True, text=True
        )
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first == "downloading owner/name from the hub"
    assert re.match("ntkjax: --model owner/name: access .* is restricted", second)
    assert done.stdout == ""
