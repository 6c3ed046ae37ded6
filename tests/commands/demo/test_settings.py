import dataclasses

import pytest

from ntkjax.commands.demo.settings import DemoSettings, check_demo_settings
from ntkjax.errors import InputError
from ntkjax.training.settings import TrainingSettings


def test_the_defaults_are_right():
    check_demo_settings(DemoSettings())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"domain": "musical"}, "domain musical: expected one of medical"),
        ({"seeds": 1}, "seeds 1: expected at least 2, for an interval"),
        ({"budget": 0}, "budget 0: expected 1 to 2208"),
        ({"budget": 5000}, "budget 5000: expected 1 to 2208, the examples of"),
        ({"world_seed": -1}, "world_seed -1: expected 0 to"),
        ({"training": TrainingSettings(steps=0)}, "training.steps 0"),
    ],
)
def test_a_wrong_value_is_named(changes, says):
    with pytest.raises(InputError, match=says):
        check_demo_settings(dataclasses.replace(DemoSettings(), **changes))
