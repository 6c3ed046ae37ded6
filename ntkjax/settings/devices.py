"""Which devices a command uses: flags that every command with a model has.

They decide no number beyond its last bits, and are no part of what a run is.
"""

import math
import re
from dataclasses import dataclass
from typing import Annotated

import tyro

from ntkjax.devices.mesh import parse_mesh
from ntkjax.devices.processes import Meeting, in_cluster
from ntkjax.errors import InputError, setting
from ntkjax.rules import COUNT, Rule, check, one_of


@dataclass(frozen=True)
class DeviceOptions:
    """The devices.

    Attributes:
        mesh: How many devices share the examples and how many the weights, such as
            data=4,model=2; auto gives the weights as few as can hold them.
        memory_per_device: GiB of a device, for --mesh auto. Default: what the device
            says; CPUs say nothing.
        distributed: Several processes work together: auto finds them as JAX does (TPU
            slice, SLURM, Open MPI) or by the three flags below; off is this one alone.
        coordinator_address: HOST:PORT of process 0.
        num_processes: Processes in all.
        process_id: Number of this one, from 0.
        initialization_timeout: Seconds to wait for the others at the start.
        heartbeat_timeout: Seconds without a sign of life after which a process counts
            as lost, and the others end.
    """

    mesh: str = "auto"
    memory_per_device: float | None = None
    distributed: str = "auto"
    coordinator_address: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    initialization_timeout: int = 300
    heartbeat_timeout: int = 100


ALL_DEVICES = DeviceOptions()

Devices = Annotated[DeviceOptions, tyro.conf.OmitArgPrefixes]
"""The type of the field `devices` of a command's settings; its flags have no prefix."""


_SECONDS = Rule(lambda value: value >= 1, "at least 1 second")
_RULES = {
    "memory_per_device": Rule(lambda value: 0 < value < math.inf, "GiB above 0"),
    "distributed": one_of(("auto", "off")),
    "num_processes": COUNT,
    "initialization_timeout": _SECONDS,
    "heartbeat_timeout": _SECONDS,
}


def check_device_options(options: DeviceOptions) -> None:
    """Raises `InputError` for a value that no run can have."""
    parse_mesh(options.mesh)
    check(options, _RULES)
    _check_meeting(options)


def meeting_of(options: DeviceOptions) -> Meeting | None:
    """How to find other processes; None for a process that works alone."""
    meeting = Meeting(
        options.coordinator_address,
        options.num_processes,
        options.process_id,
        options.initialization_timeout,
        options.heartbeat_timeout,
    )
    alone = options.distributed == "off"
    return meeting if not alone and (meeting.is_given or in_cluster()) else None


def _check_meeting(options: DeviceOptions) -> None:
    names = ("coordinator_address", "num_processes", "process_id")
    given = {name: getattr(options, name) for name in names}
    if all(value is None for value in given.values()):
        return
    if options.distributed == "off":
        raise InputError(
            "leave out what tells of other processes, or say auto.",
            field="distributed",
            value="off",
        )
    for name, value in given.items():
        if value is None:
            raise InputError(f"{setting(name)} is missing: give all three, or none.")
    address, count, index = given.values()
    if not re.fullmatch(r"[^\s]+:[0-9]{1,5}", address):
        raise InputError(
            "expected HOST:PORT.", field="coordinator_address", value=address
        )
    if not 0 <= index < count:
        raise InputError(
            f"expected 0 to {count - 1}, below {setting('num_processes')}.",
            field="process_id",
            value=index,
        )
