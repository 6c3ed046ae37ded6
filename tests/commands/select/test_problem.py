"""From settings and files to what a method is given."""

import json

import numpy as np
import pytest

from ntkjax.commands.select.inputs import read_inputs
from ntkjax.commands.select.pool_passes import PoolCandidates, Stages
from ntkjax.commands.select.problem import outline_of, problem_of
from ntkjax.commands.select.warmup import no_warm_up
from ntkjax.models.lora import LoraSettings
from ntkjax.runs.model import prepare
from tests.commands.select.problem import settings_of, write_problem
from tests.commands.world import write_records


@pytest.fixture
def problem(world, tmp_path):
    """Function (groups, changes) \u21a6 outline and problem."""
    write_problem(world)
    path = world.root / "target.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]

    def problem(groups=None, **changes):
        if groups:
            pairs = zip(records, groups, strict=True)
            write_records(path, [r | ({"group": g} if g else {}) for r, g in pairs])
        settings = settings_of(world, **changes)
        inputs = read_inputs(settings, world.model)
        lora = LoraSettings(2, 4.0, ("q_proj", "down_proj"))
        adapter = world.root / "start"
        prepared = prepare(world.model, lora, adapter, dtype="float32", seed=0)
        stages = Stages(tmp_path / "stages", {}, 10)
        candidates = PoolCandidates(inputs.pool, inputs.encode, stages, {})
        model, theta = prepared.model, prepared.theta
        snapshots = (no_warm_up(theta),)
        outline = outline_of(
            settings, model.config, model.lora, inputs.encode.vocab_size
        )
        return outline, problem_of(settings, prepared, snapshots, inputs, candidates)

    return problem


def test_settings_arrive(problem):
    outline, found = problem(pooling="last", length_normalize=False, seed=5)
    assert (found.batching.pooling, found.batching.length_normalize) == ("last", False)
    assert (found.seed, found.about()) == (5, 4)
    assert outline.options == found.options
    assert found.pick(np.arange(41.0)).tolist() == [40, 39, 38, 37]


def test_groups_are_those_of_all_or_none(problem):
    assert problem()[1].groups is None
    names = ["a", "b", "a", "b", "a", "b", "a"]
    assert problem(names)[1].groups == tuple(names)
    assert problem([*names[:-1], None])[1].groups is None
