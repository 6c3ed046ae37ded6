import math
from dataclasses import dataclass

import pytest

from ntkjax.errors import InputError
from ntkjax.rules import (
    ABOVE_ZERO,
    COUNT,
    FILES,
    SEED,
    SHARE,
    at_least,
    check,
    one_of,
)


@dataclass
class Settings:
    count: int | None = 1
    kind: str = "a"


RULES = {"count": COUNT, "kind": one_of(("a", "b"))}


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (COUNT, [1, 2**40], [0, -1]),
        (at_least(0), [0, 0.5], [-1, -0.1, math.nan, math.inf]),
        (ABOVE_ZERO, [1e-9, 3], [0, -1, math.nan, math.inf]),
        (SHARE, [1e-9, 1], [0, 1.1, math.nan]),
        (SEED, [0, 2**32 - 1], [-1, 2**32]),
        (FILES, [("f",)], [()]),
        (one_of(("a", "b")), ["a", "b"], ["", "ab"]),
    ],
)
def test_rules(rule, right, wrong):
    assert all(rule.fits(value) for value in right)
    assert not any(rule.fits(value) for value in wrong)


def test_what_is_not_given_breaks_no_rule():
    check(Settings(), RULES)
    check(Settings(count=None), RULES)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(count=0), "run.count 0: expected at least 1."),
        (Settings(count=0, kind="c"), "run.count 0: expected at least 1."),
        (Settings(kind="c"), "run.kind c: expected one of a, b."),
    ],
)
def test_the_first_broken_rule_is_named(settings, says):
    with pytest.raises(InputError) as caught:
        check(settings, RULES, "run.")
    assert str(caught.value) == says


def test_nothing_is_not_shown():
    with pytest.raises(InputError, match=r"^kind: expected at least one file\.$"):
        check(Settings(kind=()), {"kind": FILES})  # pyright: ignore[reportArgumentType]
