"""The plan of a selection: memory, time and disk on given chips, before it runs."""

from dataclasses import dataclass

from ntkjax.commands.plan.costs.hardware import Hardware
from ntkjax.commands.plan.costs.programs import theta_bytes
from ntkjax.commands.plan.costs.roofline import Host, Layout, Rates
from ntkjax.commands.plan.disk import Disk, disk_of
from ntkjax.commands.plan.memory import MemoryUse, memory_of
from ntkjax.commands.plan.mesh import choose_mesh
from ntkjax.commands.plan.passes import passes_of
from ntkjax.commands.plan.selection import Selection
from ntkjax.commands.plan.stages import Clock, Stage


@dataclass(frozen=True)
class Plan:
    """What a selection costs.

    Attributes:
        hardware: Its name.
        num_chips: Devices.
        num_processes: Processes.
        data: Data groups.
        model: Devices of each.
        weights: Bytes of frozen weights on each device.
        theta: Bytes of θ on each device.
        memory: Programs with the most memory first.
        limit: Bytes of each device that are planned with.
        stages: In order.
        disk: Bytes on disk.
        num_weights: Of the model.
        num_theta: P.
        efficiency: Share of the roof.
        is_measured: Whether rates were measured here.
    """

    hardware: str
    num_chips: int
    num_processes: int
    data: int
    model: int
    weights: float
    theta: float
    memory: tuple[MemoryUse, ...]
    limit: float
    stages: tuple[Stage, ...]
    disk: Disk
    num_weights: int
    num_theta: int
    efficiency: float
    is_measured: bool

    @property
    def needs(self) -> float:
        """Bytes on each device at most."""
        return self.memory[0].total if self.memory else self.weights + self.theta

    @property
    def fits(self) -> bool:
        """Whether each device has them."""
        return self.needs <= self.limit

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(stage.seconds for stage in self.stages)


def make_plan(
    selection: Selection,
    hardware: Hardware,
    rates: Rates | None = None,
    host: Host | None = None,
) -> Plan:
    """The plan on the mesh of the settings, by default that of `select`.

    Args:
        selection: What is selected.
        hardware: Where.
        rates: Measured here, in place of roofs.
        host: What the host does.

    Raises:
        InputError: If the mesh cannot be.
    """
    layout = Layout(hardware, *choose_mesh(selection, hardware))
    passes, cost = passes_of(selection), selection.cost
    clock = Clock(selection, layout, rates or {}, host or Host())
    stages = clock.stages(passes)
    given = selection.settings.devices.memory_per_device
    return Plan(
        hardware=hardware.name,
        num_chips=hardware.num_chips,
        num_processes=hardware.num_hosts,
        data=layout.data,
        model=layout.model,
        weights=cost.divided_weights(layout.model) * cost.bytes_each,
        theta=theta_bytes(cost),
        memory=memory_of(selection, layout, passes),
        limit=hardware.usable_memory if given is None else given * 2**30,
        stages=tuple(stages),
        disk=disk_of(selection, layout, passes, stages),
        num_weights=cost.num_weights,
        num_theta=cost.num_theta,
        efficiency=hardware.chip.efficiency,
        is_measured=bool(rates),
    )
