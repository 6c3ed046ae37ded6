"""Run directories of the tiny world, claimed as `run_select` claims them."""

import shutil
from pathlib import Path

import pytest
import yaml

from ntkjax.commands.merge.recorded_run import (
    recorded_run,
    require_one_run,
    run_here,
    select_settings,
)
from ntkjax.commands.select.inputs import identify_selection
from ntkjax.commands.select.settings import with_defaults
from ntkjax.errors import InputError
from ntkjax.runs.model import LoraOptions, resolve_lora
from ntkjax.selection.options import DualsftOptions, MaskOptions
from ntkjax.settings.devices import DeviceOptions
from ntkjax.store.run_directory import open_run
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import settings_of, write_problem
from tests.commands.world import build_world


MODEL = {"model": {"id": "m", "revision": None, "commit": None, "dtype": "float32"}}
DEVICES = DeviceOptions(distributed="off")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("recorded"))
    write_problem(world)
    return world


@pytest.fixture
def claim(world, tmp_path):
    """Function (name, changes) ↦ a run directory with these settings."""

    def claim(name, **changes):
        settings = with_defaults(settings_of(world, **changes))
        is_lora = settings.parameters == "lora"
        lora = resolve_lora(settings.lora, settings.adapter) if is_lora else None
        run = identify_selection(settings, lora, world.model)
        return open_run(tmp_path / name, run.settings, run.inputs, MODEL)

    return claim


SETTINGS = {
    "an adapter": {},
    "a fresh adapter": {"adapter": None, "lora": LoraOptions(4, 8.0, ("q_proj",))},
    "other options": {
        "warmup": "target",
        "training": TrainingSettings(steps=3, learning_rate=1e-5),
        "budget": None,
        "budget_tokens": 30,
        "picker": "quota",
        "quotas": ("wiki=0.5", "code=0.5"),
        "template_date": "2024-01-02",
        "length_normalize": False,
    },
    "all weights": {
        "method": "dualsft",
        "warmup": "none",
        "shortlist": "none",
        "parameters": "full",
        "adapter": None,
        "dualsft": DualsftOptions(),
        "mask": MaskOptions(share=0.1),
    },
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_come_back(world, claim, tmp_path, case):
    """They claim the same directory again, and are equal but for what resolves."""
    changes = SETTINGS[case]
    run = recorded_run(claim("run", **changes))
    again = select_settings(run, tmp_path / "out", DEVICES)
    expected = with_defaults(settings_of(world, out=tmp_path / "out", **changes))
    values = {**vars(expected), "devices": DEVICES, "lora": again.lora}
    assert vars(again) == values
    is_lora = again.parameters == "lora"
    lora = resolve_lora(again.lora, again.adapter) if is_lora else None
    assert identify_selection(again, lora, world.model).settings == run.settings
    run_here(run, again)


def test_the_same_run_twice(claim):
    runs = [recorded_run(claim(name)) for name in ("one", "two")]
    require_one_run(*runs)


def other_pool(world):
    path = world.root / "pool.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 1}, "seed is 0 in {one} and 1 in {two}"),
        ({"rows_per_shard": 9}, "rows_per_shard is 10 in {one} and 9 in {two}"),
        (
            {"training": TrainingSettings(steps=4), "warmup": "pool"},
            "training.steps is None in {one} and 4 in {two}",
        ),
        ({"adapter": None}, "adapter is '{start}' in {one} and None in {two}"),
    ],
    ids=["seed", "rows per shard", "nested", "adapter"],
)
def test_different_runs_are_named(world, claim, changes, says):
    runs = [recorded_run(claim("one")), recorded_run(claim("two", **changes))]
    with pytest.raises(InputError) as caught:
        require_one_run(*runs)
    names = {
        "one": runs[0].folder,
        "two": runs[1].folder,
        "start": world.root / "start",
    }
    assert str(caught.value) == (
        "merge of shards from different runs: " + says.format(**names) + "."
    )


def test_different_inputs_are_named(tmp_path):
    runs = []
    for name in ("one", "two"):
        world = build_world(tmp_path / "world")
        write_problem(world)
        if name == "two":
            other_pool(world)
        settings = with_defaults(settings_of(world))
        lora = resolve_lora(settings.lora, settings.adapter)
        run = identify_selection(settings, lora, world.model)
        out = open_run(tmp_path / name, run.settings, run.inputs, MODEL)
        runs.append(recorded_run(out))
        shutil.rmtree(world.root)
    with pytest.raises(InputError, match=r"different runs: inputs\.pool is "):
        require_one_run(*runs)


def edit(run: Path, **changes):
    path = run / "run.yaml"
    values = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def test_what_is_no_run_of_a_selection(claim, tmp_path):
    with pytest.raises(InputError, match=r"no/run\.yaml: cannot be read"):
        recorded_run(tmp_path / "no")
    run = claim("run")
    edit(run, learning_speed=1)
    with pytest.raises(InputError, match=r"run\.yaml: these are not the settings"):
        recorded_run(run)
    (run / "run.yaml").write_text("{")
    with pytest.raises(InputError, match=r"run\.yaml: these are not the settings"):
        recorded_run(run)


def test_a_value_of_another_type(claim, tmp_path):
    run = claim("run")
    edit(run, seed="x")
    with pytest.raises(InputError, match=r"run\.yaml: seed must be of type int"):
        select_settings(recorded_run(run), tmp_path / "out", DEVICES)


@pytest.mark.parametrize("name", ["target", "pool", "adapter", "model"])
def test_files_that_are_not_here(claim, tmp_path, name):
    run = claim("run")
    gone = str(tmp_path / "gone")
    edit(run, **{name: gone if name in ("adapter", "model") else [gone]})
    check(run, tmp_path, f"run.yaml: {name} {gone} is not here; copy it there.")


@pytest.mark.parametrize("name", ["pool", "model"])
def test_relative_paths_count_from_where_the_jobs_were_started(claim, tmp_path, name):
    run = claim("run")
    edit(run, **{name: "a/b" if name == "model" else ["a/b"]})
    check(run, tmp_path, f"{name} a/b is not here; a relative path counts from")


def test_other_files_are_refused(claim, tmp_path):
    run = claim("run")
    other = tmp_path / "other.jsonl"
    other.write_text("{}\n")
    edit(run, pool=[str(other)])
    check(run, tmp_path, f"its pool had another content than {other} here")


def check(run, tmp_path, says):
    recorded = recorded_run(run)
    with pytest.raises(InputError) as caught:
        run_here(recorded, select_settings(recorded, tmp_path / "o", DEVICES))
    assert says in str(caught.value)
