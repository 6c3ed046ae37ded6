"""What a run leaves of the model; whole runs are in `test_select_methods`."""

import numpy as np
import pytest

from ntkjax.checkpoints.adapter import read_adapter, write_adapter
from ntkjax.commands.select import outputs
from ntkjax.commands.select.outputs import publish_theta
from ntkjax.models.lora import LoraSettings
from ntkjax.runs.model import prepare
from tests.commands.select.problem import write_problem
from tests.commands.world import build_world
from tests.damages import damage_file, damages_of


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("outputs"))
    write_problem(world)
    lora = LoraSettings(2, 4.0, ("q_proj", "down_proj"))
    adapter = world.root / "start"
    return prepare(world.model, lora, adapter, dtype="float32", seed=0)


def assert_published(out, prepared):
    found = read_adapter(out / "adapter", prepared.model)
    for name, leaf in prepared.theta.items():
        np.testing.assert_array_equal(found[name], leaf)
    assert [path.name for path in out.iterdir()] == ["adapter"]


def test_an_adapter_replaces_what_is_there(prepared, tmp_path):
    """Which is the same, or damaged."""
    publish_theta(tmp_path, prepared.theta, prepared.model, "base", tmp_path)
    for name, kind in damages_of(tmp_path):
        damage_file(tmp_path / name, kind)
        publish_theta(tmp_path, prepared.theta, prepared.model, "base", tmp_path)
        assert_published(tmp_path, prepared)


def test_another_job_may_be_faster(prepared, tmp_path, monkeypatch):
    other = tmp_path / "adapter"

    def theirs(folder):
        write_adapter(other, prepared.theta, prepared.model, "base")

    monkeypatch.setattr(outputs, "discard_folder", theirs)
    publish_theta(tmp_path, prepared.theta, prepared.model, "base", tmp_path)
    assert_published(tmp_path, prepared)


def test_an_adapter_that_cannot_be_published_is_an_error(prepared, tmp_path):
    """Not the silence that is right when another job was first."""

    def refuse(*arguments):
        raise PermissionError("no")

    out = tmp_path / "absent"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.rename", refuse)
        with pytest.raises(PermissionError):
            publish_theta(out, prepared.theta, prepared.model, "base", tmp_path)
