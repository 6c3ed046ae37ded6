"""Which mesh a plan assumes: that of the flag, or the smallest that fits."""

from collections.abc import Callable
from typing import TypeVar

from ntkjax.devices.mesh import parse_mesh
from ntkjax.errors import InputError
from ntkjax.models.partitions import possible_cuts
from ntkjax.planning.hardware import Hardware
from ntkjax.planning.model_cost import ModelCost
from ntkjax.planning.selection import Selection


Planned = TypeVar("Planned")


def choose_mesh(
    selection: Selection,
    hardware: Hardware,
    planned: Callable[[int, int], Planned],
    fits: Callable[[Planned], bool],
) -> Planned:
    """The plan on the mesh of `--mesh`; with auto the first that fits, or the last.

    Raises:
        InputError: If the mesh does not divide the chips or the model.
    """
    given = parse_mesh(selection.settings.devices.mesh)
    if given is not None:
        data, model = given
        if data * model != hardware.num_chips:
            raise InputError(
                f"--mesh data={data},model={model}: {data * model} devices, but "
                f"{hardware.name} has {hardware.num_chips}; expected data · model = "
                f"{hardware.num_chips}."
            )
        selection.cost.require_divisible(model)
        return planned(data, model)
    plan = None
    for model in possible_models(selection.cost, hardware):
        plan = planned(hardware.num_chips // model, model)
        if fits(plan):
            break
    assert plan is not None
    return plan


def possible_models(cost: ModelCost, hardware: Hardware) -> list[int]:
    """Numbers that divide the chips and the model, ascending; 1 always does."""
    number = hardware.num_chips
    return [m for m in possible_cuts(cost.config, number) if number % m == 0]
