"""The table of pickers: a name, a line of help, a function, and what it needs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ntkjax.errors import InputError
from ntkjax.selection.pickers.facility_location import facility_location
from ntkjax.selection.pickers.picking import Pick, PickProblem
from ntkjax.selection.pickers.quota import parse_quotas, quota
from ntkjax.selection.pickers.round_robin import round_robin
from ntkjax.selection.pickers.top import top


__all__ = [
    "PICKERS",
    "Need",
    "PickProblem",
    "Picker",
    "named_picker",
    "parse_quotas",
    "require",
]

Need = Literal["rankings", "features"]
_NEEDS = {
    "rankings": "a ranking of the candidates for each query",
    "features": "features of the candidates",
}


@dataclass(frozen=True)
class Picker:
    """One way to turn scores into an order of picking.

    Attributes:
        name: What the setting `picker` says.
        summary: One line for users.
        pick: The picker.
        needs: What it cannot do without, beyond scores.
    """

    name: str
    summary: str
    pick: Pick
    needs: Need | None = None


PICKERS = {
    picker.name: picker
    for picker in (
        Picker("top", "the highest scores", top),
        Picker(
            "round-robin",
            "queries take turns, each picks its best candidate left",
            round_robin,
            needs="rankings",
        ),
        Picker(
            "quota",
            "the highest scores of each source, in the shares of quotas",
            quota,
        ),
        Picker(
            "facility-location",
            "greedy cover: picks that together are like all candidates",
            facility_location,
            needs="features",
        ),
    )
}


def named_picker(name: str) -> Picker:
    """The picker of this name.

    Raises:
        InputError: If there is none.
    """
    if name not in PICKERS:
        raise InputError(
            f"expected one of {', '.join(PICKERS)}.", field="picker", value=name
        )
    return PICKERS[name]


def require(
    picker: Picker, has: Collection[Need], method: str, methods: Sequence[str]
) -> None:
    """Refuses a picker that needs what a method of selection does not give.

    Args:
        picker: The picker.
        has: What the method has.
        method: Its name.
        methods: Names of the methods that have what the picker needs.

    Raises:
        InputError: If the method lacks it.
    """
    if picker.needs is None or picker.needs in has:
        return
    others = f" or one of the methods {', '.join(methods)}" if methods else ""
    raise InputError(
        f"needs {_NEEDS[picker.needs]}, which the method {method} does not have; "
        f"choose another picker{others}.",
        field="picker",
        value=picker.name,
    )
