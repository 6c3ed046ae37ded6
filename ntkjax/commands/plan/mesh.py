"""Which mesh a plan is for: that of the flag, or the one that `select` would take."""

from ntkjax.commands.plan.costs.hardware import Hardware
from ntkjax.commands.plan.selection import Selection
from ntkjax.devices.mesh import MeshShape, parse_mesh
from ntkjax.errors import InputError
from ntkjax.runs.device_mesh import automatic_mesh, possible_models, require_devices


def choose_mesh(selection: Selection, hardware: Hardware) -> MeshShape:
    """The mesh that is asked for, or that of `select` for auto.

    Raises:
        InputError: If the mesh does not divide the chips, their hosts or the model.
    """
    devices, cost = selection.settings.devices, selection.cost
    total, local = hardware.num_chips, hardware.chips_each
    shape = asked_mesh(devices.mesh, hardware)
    if shape is None:
        memory = hardware.memory_for(devices.memory_per_device)
        return automatic_mesh(cost.config, cost.bytes_each, total, local, memory)
    cost.require_divisible(shape.model)
    return shape


def asked_mesh(mesh: str, hardware: Hardware) -> MeshShape | None:
    """The mesh of the flag; None for auto.

    Raises:
        InputError: If it does not divide the chips and their hosts.
    """
    total, local = hardware.num_chips, hardware.chips_each
    shape = parse_mesh(mesh)
    if shape is None:
        return None
    if shape.data * shape.model != total:
        raise InputError(
            f"{shape.data * shape.model} devices, but {hardware.name} has {total}; "
            f"expected data · model = {total}.",
            field="mesh",
            value=shape,
        )
    require_devices(mesh, shape, total, local)
    return shape


def possible_meshes(selection: Selection, hardware: Hardware) -> list[MeshShape]:
    """All that are possible, with the fewest devices to a copy of the weights first."""
    total, config = hardware.num_chips, selection.cost.config
    models = possible_models(config, total, hardware.chips_each)
    return [MeshShape(total // model, model) for model in models]
