"""What a run leaves of the model; whole runs are in `test_select_methods`."""

import numpy as np
import pytest

from ntkjax.checkpoints.adapter import read_adapter
from ntkjax.commands.select.outputs import publish_theta
from ntkjax.models.lora import LoraSettings
from ntkjax.runs.model import prepare
from tests.commands.select.problem import write_problem
from tests.commands.world import build_world


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("outputs"))
    write_problem(world)
    lora = LoraSettings(2, 4.0, ("q_proj", "down_proj"))
    adapter = world.root / "start"
    return prepare(world.model, lora, adapter, dtype="float32", seed=0)


def test_the_first_adapter_that_is_published_stays(prepared, tmp_path):
    first = {name: leaf + 1 for name, leaf in prepared.theta.items()}
    for theta in (first, prepared.theta):
        publish_theta(tmp_path, theta, prepared.model, "base", tmp_path)
    found = read_adapter(tmp_path / "adapter", prepared.model)
    for name, leaf in first.items():
        np.testing.assert_array_equal(found[name], leaf)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_an_adapter_that_cannot_be_published_is_an_error(prepared, tmp_path):
    """Not the silence that is right when another job was first."""

    def refuse(*arguments):
        raise PermissionError("no")

    out = tmp_path / "absent"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.rename", refuse)
        with pytest.raises(PermissionError):
            publish_theta(out, prepared.theta, prepared.model, "base", tmp_path)
