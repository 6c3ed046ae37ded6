"""Each change is found where it is the first that fits."""

from dataclasses import replace

import pytest

from ntkjax.commands.plan.changes import smallest_change
from ntkjax.commands.plan.costs.hardware import CHIPS, Hardware
from ntkjax.commands.plan.plan import make_plan
from ntkjax.training.settings import TrainingSettings
from tests.commands.plan.problem import small_selection


def chips_with(memory: float) -> Hardware:
    return Hardware("v5e-2", replace(CHIPS["v5e"], memory=memory, usable=1.0), 2)


def needs(**changes) -> float:
    selection = small_selection(**changes)
    return make_plan(selection, chips_with(1e12)).needs


ONE_ROW = {"warmup": "none", "tokens_per_batch": 16}
ALONE = ONE_ROW | {"mesh": "data=2,model=1"}
BOTH = {"mesh": "data=1,model=2"}
LEAST = {"tokens_per_batch": 16, "training": TrainingSettings(micro_batch=1)}


@pytest.mark.parametrize(
    ("given", "enough", "flags"),
    [
        (ALONE, ALONE | BOTH, "--mesh data=1,model=2"),
        (
            BOTH | ONE_ROW,
            BOTH | ONE_ROW | {"dtype": "bfloat16"},
            "--dtype bfloat16",
        ),
        (
            {"dtype": "bfloat16"},
            BOTH | {"dtype": "bfloat16"} | LEAST,
            "--tokens-per-batch 16",
        ),
        (
            {},
            BOTH | {"dtype": "bfloat16"} | LEAST,
            "--dtype bfloat16 --tokens-per-batch 16",
        ),
    ],
)
def test_the_smallest_change(given, enough, flags):
    chips = chips_with(1.001 * needs(**enough))
    selection = small_selection(**given)
    assert not make_plan(selection, chips).fits
    change = smallest_change(selection, chips)
    assert change is not None
    assert change.flags.startswith(flags)
    assert change.plan.fits


def test_more_chips_spread_the_rows():
    given = {"dtype": "bfloat16", "mesh": "data=2,model=1", "tokens_per_batch": 1024}
    given |= {"warmup": "none", "method": "loss"}
    chips = chips_with(needs(**given | {"tokens_per_batch": 16}) * 0.9)
    change = smallest_change(small_selection(**given), chips)
    assert change is not None
    assert "model=2" in change.flags or "--hardware v5e-4" in change.flags


def test_nothing_may_help():
    assert smallest_change(small_selection(), chips_with(100.0)) is None
