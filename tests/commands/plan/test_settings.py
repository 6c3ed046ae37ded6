import pytest

from ntkjax.commands.plan.settings import check_plan_settings
from ntkjax.errors import InputError
from tests.commands.plan.problem import small_settings


def test_counts_take_the_place_of_files():
    check_plan_settings(small_settings())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_pool": None}, "pool or num_pool: give one"),
        ({"num_target": None}, "target or num_target: give files"),
        ({"num_pool": 0}, "num_pool 0: expected at least 1"),
        ({"tokens_per_example": 0}, "tokens_per_example 0: expected at least 1"),
        ({"tokens_per_example": 300}, "expected at most max_length 256"),
        ({"budget": 101}, "budget 101: expected at most num_pool 100"),
        ({"method": "less", "warmup": "none"}, "method less: needs the Adam moments"),
    ],
)
def test_slips_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        check_plan_settings(small_settings(**changes))
