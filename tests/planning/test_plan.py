import pytest

from ntkjax.planning.hardware import CHIPS, Hardware, named_hardware
from ntkjax.planning.plan import USABLE, make_plan
from ntkjax.selection.methods.table import METHODS
from tests.planning.problem import small_selection


V5E = named_hardware("v5e-8")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_plans(method):
    plan = make_plan(small_selection(method=method), V5E)
    assert plan.fits
    assert plan.seconds == sum(stage.seconds for stage in plan.stages) > 0
    assert plan.disk.total > 0
    assert plan.limit == USABLE * 16e9


@pytest.mark.parametrize("method", ["less", "fisher", "dualsft", "cosine"])
def test_all_weights_may_be_trained(method):
    changes = {"method": method, "parameters": "full", "dtype": "bfloat16"}
    plan = make_plan(small_selection(lora=None, **changes), V5E)
    assert plan.num_theta == plan.num_weights
    assert plan.theta == 6 * plan.num_theta  # float32, and a copy in bfloat16


def chips_with(memory: float) -> Hardware:
    from dataclasses import replace

    return Hardware("v5e-8", replace(CHIPS["v5e"], memory=memory), 8)


def test_auto_takes_more_devices_for_the_weights_where_one_is_too_small():
    selection = small_selection()
    alone = make_plan(selection, V5E)
    assert (alone.data, alone.model) == (8, 1)
    tight = chips_with(0.99 * alone.needs / USABLE)
    # A data group of two has twice the rows, so that only part of it is saved.
    few = small_selection(batch_size=1, warmup="none")
    less = make_plan(few, V5E)
    shared = make_plan(few, chips_with(0.99 * less.needs / USABLE))
    assert shared.model == 2
    assert shared.fits
    assert not make_plan(small_selection(mesh="data=8"), tight).fits


def test_a_program_of_nothing_needs_the_weights():
    plan = make_plan(small_selection(method="random"), V5E)
    assert plan.memory == ()
    assert plan.needs == plan.weights + plan.theta
