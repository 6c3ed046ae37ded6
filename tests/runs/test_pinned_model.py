"""Runs on a hub's model, whose main branch moves between two calls."""

import shutil

import pytest

from ntkjax.checkpoints.loading import FoundModel, load_model
from ntkjax.commands.evaluate.run import run_evaluate
from ntkjax.commands.evaluate.settings import EvaluateSettings
from ntkjax.commands.train.run import run_train
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from ntkjax.runs.pinned_model import model_facts, pinned_model
from ntkjax.store.run_directory import open_run, read_json
from ntkjax.training.settings import TrainingSettings
from tests.checkpoints.files import PLAIN
from tests.checkpoints.hub_server import FIRST, SECOND, Hub, look_at, serving


@pytest.fixture
def hub(world, tmp_path, monkeypatch):
    """A hub with the world's model."""
    with serving(Hub()) as hub:
        hub.commit(FIRST, world.model)
        look_at(monkeypatch, hub.url, tmp_path / "cache")
        yield hub


def move(hub, world):
    """Another commit on the main branch: the last norm is doubled."""

    def double(tensors):
        tensors["model.norm.weight"] = 2 * tensors["model.norm.weight"]

    world.edit_tensors(double)
    hub.commit(SECOND, world.model)


def begun(out, found: FoundModel):
    """A run directory as a run leaves it that was killed at once."""
    model = load_model(found.folder, LoraSettings(2))
    open_run(out, {}, {}, model_facts(found, model))


def test_a_run_keeps_the_commit_that_it_began_with(hub, world):
    found = pinned_model("owner/name", world.out)
    begun(world.out, found)
    move(hub, world)
    assert pinned_model("owner/name", world.out) == found
    assert pinned_model("owner/name", world.root / "new").commit == SECOND
    # Another revision is another model, and so is a folder.
    assert pinned_model("owner/name@main", world.out).commit == SECOND
    assert pinned_model(str(world.model), world.out).commit is None


def test_a_branch_that_was_asked_for_stays_too(hub, world):
    begun(world.out, pinned_model("owner/name@main", world.out))
    move(hub, world)
    found = pinned_model("owner/name@main", world.out)
    assert (found.revision, found.commit) == ("main", FIRST)


def test_runs_of_before_and_of_folders_pin_nothing(hub, world):
    open_run(world.out, {}, {})
    assert pinned_model("owner/name", world.out).commit == FIRST
    other = world.root / "other"
    begun(other, pinned_model(str(world.model), other))
    assert pinned_model("owner/name", other).commit == FIRST


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_the_manifest_says(dtype):
    found = FoundModel(PLAIN, "owner/name", "v1", FIRST)
    said = {"id": "owner/name", "revision": "v1", "commit": FIRST, "dtype": dtype}
    assert model_facts(found, load_model(PLAIN, None, dtype)) == {"model": said}


def test_a_commit_that_is_gone(hub, world):
    begun(world.out, pinned_model("owner/name", world.out))
    move(hub, world)
    del hub.files[FIRST]
    shutil.rmtree(world.root / "cache")
    with pytest.raises(InputError, match=f"owner/name@{FIRST}: .*no revision"):
        pinned_model("owner/name", world.out)


def test_an_evaluation_goes_on_with_its_commit(hub, world):
    settings = EvaluateSettings(
        "owner/name", (world.queries,), world.out, num=2, max_length=24
    )
    first = run_evaluate(settings)
    said = {"id": "owner/name", "revision": None, "commit": FIRST, "dtype": "float32"}
    assert read_json(world.out / "manifest.json")["model"] == said
    move(hub, world)
    again = run_evaluate(settings)
    assert again.reused
    assert again.result == first.result


@pytest.mark.slow
def test_an_adapter_names_the_model_without_its_revision(hub, world):
    hub.branches["v1"] = FIRST
    training = TrainingSettings(steps=1, batch_size=2)
    data, out = (world.queries,), world.out
    settings = TrainSettings(
        "owner/name@v1", data, out, training=training, max_length=24
    )
    run_train(settings)
    config = read_json(out / "adapter" / "adapter_config.json")
    assert config["base_model_name_or_path"] == "owner/name"
    assert read_json(out / "manifest.json")["model"]["revision"] == "v1"
