from dataclasses import dataclass, field

import pytest

from ntkjax.errors import InputError
from ntkjax.settings.idle_flags import refuse_idle


@dataclass(frozen=True)
class Settings:
    kind: str = "plain"
    shape: str = "round"
    num_sides: int = 4
    names: tuple[str, ...] = field(default_factory=tuple)


COUNTS_WITH = {
    "num_sides": {"kind": ("odd",), "shape": ("square", "other")},
    "names": {"kind": ("odd",)},
}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(num_sides=4, names=()),  # as by default
        Settings(kind="odd", num_sides=3, names=("a",)),
        Settings(shape="other", num_sides=3),  # one of the two is enough
    ],
)
def test_flags_that_count(settings):
    refuse_idle(settings, COUNTS_WITH)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(num_sides=3), "num_sides says nothing with shape round."),
        (Settings(names=("a",)), "names says nothing with kind plain."),
        (
            Settings(shape="other", num_sides=3, names=("a",)),
            "names says nothing with kind plain.",
        ),
    ],
)
def test_flags_that_say_nothing(settings, says):
    with pytest.raises(InputError) as error:
        refuse_idle(settings, COUNTS_WITH)
    assert str(error.value) == says
