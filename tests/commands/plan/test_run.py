import json
import pathlib

import jax
import pytest

from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.commands.plan.run import PlanResult, run_plan
from ntkjax.commands.plan.settings import PlanSettings
from ntkjax.commands.select.run import run_select
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.errors import InputError
from ntkjax.runs.model import LoraOptions
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.options import DualsftOptions, LessOptions, MaskOptions
from ntkjax.store.results import read_result, result_from, write_result
from ntkjax.store.run_directory import plain_values
from ntkjax.training.settings import TrainingSettings
from tests.commands.plan.problem import small_settings
from tests.commands.select.problem import settings_of, write_problem


LLAMA = pathlib.Path(__file__).parents[3] / "examples" / "configs" / "llama-3-8b"
LARGE = {"model": str(LLAMA), "num_pool": 10**6, "num_target": 200, "budget": 1000}


def test_a_config_is_enough():
    settings = PlanSettings(**LARGE, hardware="v5p-128", dtype="stored")
    planned = run_plan(settings)
    assert planned.plan.fits
    assert planned.plan.weights == 2 * 8_030_261_248  # the config says bfloat16
    assert planned.change is None


def test_what_does_not_fit_is_mended(tmp_path):
    jax.clear_caches()  # what one of them compiled is no gift to the other
    planned = run_plan(PlanSettings(**LARGE, hardware="v5e-2"))
    assert not planned.plan.fits
    assert planned.change is not None
    assert planned.change.plan.fits
    assert not planned.fits
    write_result(tmp_path / "plan.json", planned)
    assert read_result(tmp_path / "plan.json", PlanResult) == planned
    other = plain_values(planned) | {"schema": 2}
    with pytest.raises(TypeError, match="expected a result of schema 1, got schema 2"):
        result_from(other, PlanResult)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hardware": "abacus"}, "hardware abacus: expected one of"),
        ({"mesh": "data=3,model=1", "hardware": "v5e-4"}, "3 devices, but v5e-4 has 4"),
        ({"budget": None}, "budget or budget_tokens"),
        ({"method": "magic"}, "method magic: expected one of"),
        ({"hardware": "v5e-4", "measure": True}, "measure: this machine computes"),
    ],
)
def test_slips_end_in_one_line(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        run_plan(small_settings(model=str(LLAMA), **changes))
    assert "\n" not in str(caught.value)


ODD = (
    {},
    {"warmup": "target"},
    {"parameters": "full"},
    {"kernel": "exact"},
    {"kernel": "spectral_99"},
    {"kernel": "centered_summed"},
    {"less": LessOptions("sgd")},
    {"dualsft": DualsftOptions(kappa=0.0)},
    {"dualsft": DualsftOptions(kappa=0.0, order="data-first")},
    {"dualsft": DualsftOptions(lambda_new=0.0, lambda_prior=0.0)},
    {"dualsft": DualsftOptions(kappa=0.0), "mask": MaskOptions(budget=10**9)},
    {"lora": LoraOptions(targets=("lm_head",)), "kernel": "spectral_4"},
    {"lora": LoraOptions(targets=("nothing",))},
    {"picker": "facility-location"},
)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_plan_refuses_what_select_refuses_before_it_reads_weights(
    method, world, monkeypatch
):
    write_problem(world)
    monkeypatch.setattr("ntkjax.commands.select.run._load", _loads)
    differing = []
    for changes in ODD:
        settings = settings_of(world, adapter=None, method=method, **changes)
        by_select = _refusal(run_select, settings)
        by_plan = _refusal(run_plan, PlanSettings(**vars(settings)))
        if by_select != by_plan:
            differing.append((changes, by_select, by_plan))
    assert not differing


class _Loaded(Exception):
    """Nothing was refused."""


def _loads(*args):
    raise _Loaded


def _refusal(run, settings) -> str | None:
    try:
        run(settings)
    except InputError as error:
        return str(error)
    except _Loaded:
        return None
    return None


def test_a_model_without_a_config_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no config"):
        run_plan(small_settings(model=str(tmp_path), hardware="v5e-4"))


@pytest.mark.slow
def test_measured_plans_foretell_a_real_run(tmp_path):
    """All stages together, within a factor of 2 either way; another load of the
    machine between both may spoil one try, hardly two."""
    factors = []
    while len(factors) < 2 and not any(0.5 < factor < 2 for factor in factors):
        factors.append(_real_over_planned(tmp_path / str(len(factors))))
    assert 0.5 < factors[-1] < 2, factors


def _real_over_planned(folder: pathlib.Path) -> float:
    folder.mkdir()
    files = {"pool": 600, "target": 20}
    for name, count in files.items():
        (folder / f"{name}.jsonl").write_text(_lines(name, count))
    given = {
        "model": str(EMBEDDED_MODEL),
        "target": (folder / "target.jsonl",),
        "pool": (folder / "pool.jsonl",),
        "out": folder / "run",
        "budget": 40,
        "max_length": 128,
        "training": TrainingSettings(steps=6),
    }
    jax.clear_caches()  # what one of them compiled is no gift to the other
    planned = run_plan(PlanSettings(**given, hardware="cpu", measure=True)).plan
    jax.clear_caches()
    result = run_select(SelectSettings(**given)).result
    stages = {row.stage: row.seconds for row in result.stages}
    real = sum(stages[name] for name in ("warm-up", "embeddings and vote", "scores"))
    own = [row for row in planned.stages if row.name != "load"]
    return real / sum(row.seconds for row in own)


def _lines(name: str, count: int) -> str:
    def words(row: int) -> str:
        return " ".join(f"word {row * k % 97} of {name}" for k in range(3 + row % 9))

    rows = (
        {"id": f"{name}{row}", "prompt": words(row), "response": words(row + 5)}
        for row in range(count)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)
