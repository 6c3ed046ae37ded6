from dataclasses import replace

import pytest

from ntkjax.commands.plan.costs.hardware import CHIPS, Hardware, named_hardware
from ntkjax.commands.plan.plan import make_plan
from ntkjax.selection.methods.table import METHODS
from tests.commands.plan.problem import small_selection


V5E = named_hardware("v5e-8")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_plans(method):
    plan = make_plan(small_selection(method=method), V5E)
    assert plan.fits
    assert plan.seconds == sum(stage.seconds for stage in plan.stages) > 0
    assert plan.disk.total > 0
    assert plan.limit == V5E.usable_memory == 0.9 * 16e9


@pytest.mark.parametrize("method", ["less", "fisher", "dualsft", "cosine"])
def test_all_weights_may_be_trained(method):
    changes = {"method": method, "parameters": "full", "dtype": "bfloat16"}
    plan = make_plan(small_selection(lora=None, **changes), V5E)
    assert plan.num_theta == plan.num_weights
    assert plan.theta == 6 * plan.num_theta  # float32, and a copy in bfloat16


def chips_with(memory: float) -> Hardware:
    chip = replace(CHIPS["v5e"], memory=memory, usable=1.0)
    return Hardware("v5e-8", chip, 8)


def test_more_devices_for_the_weights_need_less_of_each():
    # A data group of two has twice the rows, so that only part of it is saved.
    alone, shared = (
        make_plan(small_selection(tokens_per_batch=64, warmup="none", mesh=mesh), V5E)
        for mesh in ("data=8", "data=4,model=2")
    )
    memory = (alone.needs + shared.needs) / 2
    assert shared.needs < memory
    for mesh, fits in (("data=8", False), ("data=4,model=2", True)):
        few = small_selection(tokens_per_batch=64, warmup="none", mesh=mesh)
        assert make_plan(few, chips_with(memory)).fits == fits


def test_a_program_of_nothing_needs_the_weights():
    plan = make_plan(small_selection(method="random"), V5E)
    assert plan.memory == ()
    assert plan.needs == plan.weights + plan.theta
