import dataclasses
import json

import pytest

from ntkjax.commands.select.inputs import identify_selection, read_inputs
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import (
    NUM_POOL,
    NUM_TARGET,
    fields_of,
    settings_of,
    write_problem,
)
from tests.commands.world import write_records


@pytest.fixture
def problem(world):
    write_problem(world)
    return world


def test_reads_the_first_of_the_domain_and_the_whole_pool(problem):
    holdout = (problem.queries,)
    inputs = read_inputs(
        settings_of(problem, num_target=3, holdout=holdout), problem.model
    )
    assert [example.id for example in inputs.examples] == ["t0", "t1", "t2"]
    assert inputs.aim == inputs.examples
    assert inputs.warmup == []
    assert len(inputs.pool) == NUM_POOL
    assert inputs.holdout[0].id == "q0"
    assert read_inputs(settings_of(problem), problem.model).holdout is None


def test_too_few_examples_are_named(problem):
    cases = {
        "budget 42: pool.jsonl has only 41 examples": {"budget": NUM_POOL + 1},
        "num_target 8: target.jsonl has only 7": {"num_target": NUM_TARGET + 1},
    }
    for says, changes in cases.items():
        with pytest.raises(InputError, match=says):
            read_inputs(settings_of(problem, **changes), problem.model)
    read_inputs(settings_of(problem, budget=NUM_POOL), problem.model)


def test_a_quota_of_no_source_is_refused(problem):
    read = lambda *quotas: read_inputs(
        settings_of(problem, picker="quota", quotas=quotas), problem.model
    )
    read("code=1", "(no source)=1")
    with pytest.raises(InputError) as error:
        read("code=1", "web=1")
    assert str(error.value) == (
        "quotas web: no candidate has this source; expected some of wiki, code, "
        "(no source)."
    )


def test_a_target_that_cannot_be_trained_on_is_refused_before_the_run(problem):
    """One token, which has none before it to be predicted from."""
    problem.edit_config(bos_token_id=None)
    write_records(problem.root / "target.jsonl", [{"id": "short", "text": "a"}])
    changes = {"max_length": 1}
    read_inputs(settings_of(problem, **changes), problem.model)
    with pytest.raises(InputError, match="'short' has no token to predict"):
        read_inputs(settings_of(problem, warmup="target", **changes), problem.model)


def test_identity_holds_all_that_decides_a_number(problem):
    settings = settings_of(problem)
    run = identify_selection(settings, LoraSettings(), problem.model)
    values, hashes = run.settings, run.inputs
    fields = {field.name for field in dataclasses.fields(settings)}
    assert values.keys() == fields - {"out", "shard", "stages", "devices"}
    assert values["training"] == dataclasses.asdict(TrainingSettings())
    assert hashes.keys() == {"model", "target", "pool", "adapter"}
    more = settings_of(problem, adapter=None, holdout=(problem.queries,))
    hashes = identify_selection(more, LoraSettings(), problem.model).inputs
    assert hashes.keys() == {"model", "target", "pool", "holdout"}


@pytest.mark.parametrize("name", ["target", "pool", "adapter", "model"])
def test_identity_changes_with_the_content_of_a_file(problem, name):
    settings = settings_of(problem)
    before = identify_selection(settings, LoraSettings(), problem.model).inputs
    path = {
        "adapter": problem.root / "start" / "adapter_model.safetensors",
        "model": problem.model / "config.json",
    }.get(name, problem.root / f"{name}.jsonl")
    path.write_bytes(path.read_bytes() + b" ")
    after = identify_selection(settings, LoraSettings(), problem.model).inputs
    assert {key for key in before if before[key] != after[key]} == {name}


def test_fields_are_those_of_the_settings(problem):
    assert fields_of(problem).keys() <= vars(settings_of(problem)).keys()


def grouped(problem, names, **changes):
    """Reads the target with these groups; None leaves one out."""
    path = problem.root / "target.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    named = [
        record if name is None else record | {"group": name}
        for record, name in zip(records, names, strict=True)
    ]
    write_records(path, named)
    return read_inputs(settings_of(problem, **changes), problem.model)


def test_groups_count_only_where_they_are_used(problem):
    names = ["a", None, 3, "a", "b", "b", ["list"]]
    found = grouped(problem, names)
    assert [e.group for e in found.aim] == ["a", None, "3", "a", "b", "b", None]
    with pytest.raises(InputError, match=r'jsonl:2: field "group" is missing, but oth'):
        read_inputs(settings_of(problem, method="less"), problem.model)
    changes = {"method": "gradient-dot", "picker": "round-robin"}
    with pytest.raises(InputError, match=r"round-robin: target\.jsonl:2 has no field"):
        read_inputs(settings_of(problem, **changes), problem.model)
