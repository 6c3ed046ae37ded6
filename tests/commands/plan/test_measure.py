from dataclasses import replace

import jax
import pytest

from ntkjax.commands.plan.costs.hardware import named_hardware
from ntkjax.commands.plan.costs.programs import STEP
from ntkjax.commands.plan.measure import measured_rates, require_here
from ntkjax.commands.plan.passes import passes_of
from ntkjax.errors import InputError
from ntkjax.training.settings import TrainingSettings
from tests.commands.plan.problem import LORA, small_selection


SMALL = {"tokens_per_batch": 64, "training": TrainingSettings(batch_size=2)}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ntk", "fisher"])
def test_every_program_has_a_rate(method, tmp_path):
    selection = small_selection(method=method, **SMALL)
    rates = measured_rates(selection, tmp_path)
    programs = {each.program for each in passes_of(selection)} - {None}
    assert set(rates) == programs | {STEP}
    for name, rate in rates.items():
        assert 0 < rate.seconds < 5, name
        assert rate.compile_seconds >= 0
        assert rate.flops > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["less", "cosine", "dualsft", "vote", "loss"])
@pytest.mark.parametrize("lora", [LORA, None], ids=["lora", "full"])
def test_all_programs_run(method, lora, tmp_path):
    parameters = "lora" if lora else "full"
    selection = small_selection(
        lora=lora, method=method, parameters=parameters, warmup="pool", **SMALL
    )
    rates = measured_rates(selection, tmp_path)
    assert min(rate.seconds for rate in rates.values()) > 0


@pytest.mark.slow
def test_only_devices_that_are_here_can_be_measured():
    assert jax.default_backend() == "cpu"
    require_here(named_hardware("cpu"))
    with pytest.raises(InputError, match="computes on cpu, but hardware is h100x8"):
        require_here(named_hardware("h100x8"))
    more = replace(named_hardware("cpu"), num_chips=9)
    with pytest.raises(InputError, match="this machine has 2 devices"):
        require_here(more)
