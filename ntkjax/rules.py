"""Which values settings may have: one table of rules for each class of settings.

A rule needs no file. Every command checks its tables before it opens the first one.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ntkjax.errors import InputError


class Rule(NamedTuple):
    """What a value must be.

    Attributes:
        fits: Whether a value is that.
        expected: The same in words.
    """

    fits: Callable[[Any], bool]
    expected: str


def at_least(lowest: int) -> Rule:
    """A finite number, not below `lowest`."""
    return Rule(lambda value: lowest <= value < math.inf, f"at least {lowest}")


def one_of(names: Iterable[str]) -> Rule:
    """One of these names."""
    known = tuple(names)
    return Rule(lambda value: value in known, f"one of {', '.join(known)}")


COUNT = at_least(1)
ABOVE_ZERO = Rule(lambda value: 0 < value < math.inf, "a number above zero")
SHARE = Rule(lambda value: 0 < value <= 1, "above 0, at most 1")
SEED = Rule(lambda value: 0 <= value < 2**32, "0 to 2**32 - 1")
FILES = Rule(bool, "at least one file")


def check(settings: object, rules: Mapping[str, Rule], prefix: str = "") -> None:
    """Refuses a value that breaks its rule. None breaks none: it says "not given".

    Args:
        settings: Has the values as attributes.
        rules: By attribute.
        prefix: Of the settings in messages, such as "training.".

    Raises:
        InputError: For the first that does.
    """
    for name, rule in rules.items():
        value = getattr(settings, name)
        if value is not None and not rule.fits(value):
            shown = None if value == () else value
            raise InputError(
                f"expected {rule.expected}.", field=f"{prefix}{name}", value=shown
            )
