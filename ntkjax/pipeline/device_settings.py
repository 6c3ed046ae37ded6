"""Which devices a command uses: flags that every command with a model has.

They decide no number beyond its last bits, and are no part of what a run is.
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from ntkjax.devices.mesh import parse_mesh
from ntkjax.errors import InputError


@dataclass(frozen=True)
class DeviceOptions:
    """The devices.

    Attributes:
        mesh: How many devices share the examples and how many the weights, such as
            data=4,model=2; auto gives the weights as few as can hold them.
        memory_per_device: GiB of a device, for --mesh auto. Default: what the device
            says; CPUs say nothing.
    """

    mesh: str = "auto"
    memory_per_device: float | None = None


ALL_DEVICES = DeviceOptions()

Devices = Annotated[DeviceOptions, tyro.conf.OmitArgPrefixes]
"""The type of the field `devices` of a command's settings; its flags have no prefix."""


def check_device_options(options: DeviceOptions) -> None:
    """Raises `InputError` for a value that no run can have."""
    parse_mesh(options.mesh)
    memory = options.memory_per_device
    if memory is not None and not 0 < memory < float("inf"):
        raise InputError(f"--memory-per-device {memory}: expected GiB above 0.")
