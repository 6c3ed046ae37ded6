"""How long a pass takes: the highest of three roofs for the devices, and the host.

For a batch on one data group, with m devices that share the weights,

    compute   FLOPs with frozen matrices / m / rate + FLOPs with θ / float32 rate
    memory    (weights + twice what a pass over them writes) · passes / rate
    network   2 (m − 1) / m · sums · layers · rows · T · d · bytes / rate

The slowest binds, divided by the chip's efficiency. The host reads and tokenizes before
the devices start on a shard, so its time is added.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ntkjax.commands.plan.costs.hardware import Chip, Hardware
from ntkjax.commands.plan.costs.model_cost import ModelCost
from ntkjax.commands.plan.costs.programs import Batched, Program, written_bytes
from ntkjax.commands.plan.workload import Lengths
from ntkjax.devices.side_by_side import tokens_at_once


Roof = Literal["compute", "memory", "network", "host"]


@dataclass(frozen=True)
class Rate:
    """What one program does on this machine, all devices together.

    Attributes:
        seconds: For an example, once compiled.
        compile_seconds: For the first batch of a shape, beyond its own time.
        flops: Of the examples that were measured, each.
    """

    seconds: float
    compile_seconds: float
    flops: float


Rates = Mapping[str, Rate]
"""By program."""


@dataclass(frozen=True)
class Host:
    """What one process's host does. Assumptions, but for what is called measured.

    Attributes:
        read_rate: Bytes per second from files, weights and shards. Assumed.
        float64_rate: FLOPs per second of cosines. Measured on two cores.
        tokens_rate: Tokens per second of tokenizing. Measured on one core.
        row_seconds: To read and check a line. Measured on one core.
    """

    read_rate: float = 1e9
    float64_rate: float = 1.2e10
    tokens_rate: float = 3e5
    row_seconds: float = 7e-5


@dataclass(frozen=True)
class Layout:
    """How the chips share the work.

    Attributes:
        hardware: The chips.
        data: Data groups.
        model: Devices of each group.
    """

    hardware: Hardware
    data: int
    model: int

    @property
    def num_teams(self) -> int:
        """Processes, or teams of them, that work on shards of their own."""
        return max(1, min(self.hardware.num_hosts, self.data))

    @property
    def groups_per_team(self) -> int:
        """Data groups that share each batch."""
        return max(1, self.data // self.num_teams)

    def rows(self, batch_size: int) -> int:
        """Rows of a step in each data group."""
        return -(-batch_size // self.groups_per_team)

    def rows_at(self, length: int, tokens_per_batch: int | None, examples: int) -> int:
        """Rows of a batch in each data group, of that padded length.

        Args:
            length: Tokens of each row.
            tokens_per_batch: The setting.
            examples: All that there are for such batches.
        """
        tokens = tokens_per_batch or tokens_at_once(self.hardware.platform)
        return min(max(1, tokens // length), -(-examples // self.groups_per_team))


@dataclass(frozen=True)
class Duration:
    """Seconds under each roof; the devices' roofs are those at full efficiency."""

    compute: float
    memory: float
    network: float
    host: float
    efficiency: float

    @property
    def device(self) -> float:
        """Seconds of the devices."""
        return max(self.compute, self.memory, self.network) / self.efficiency

    @property
    def total(self) -> float:
        """Seconds."""
        return self.device + self.host

    @property
    def binds(self) -> Roof:
        """What takes longest."""
        found: dict[Roof, float] = {
            "compute": self.compute / self.efficiency,
            "memory": self.memory / self.efficiency,
            "network": self.network / self.efficiency,
            "host": self.host,
        }
        return max(found, key=lambda name: found[name])


def batch_roofs(
    program: Program, batch: Batched, chip: Chip
) -> tuple[float, float, float]:
    """Seconds of one batch by compute, memory and network."""
    cost, m = batch.cost, batch.model
    work = program.work(cost, batch.tokens, batch.outputs)
    compute = work.cut / m / chip.flops(cost.dtype) + work.whole / chip.single_flops
    weights = cost.divided_weights(m) * cost.bytes_each
    moved = work.passes * (weights + 2 * written_bytes(batch))
    sent = 2 * (m - 1) / m * work.sums * _stream_bytes(batch)
    return (
        batch.rows * compute,
        moved / chip.memory_rate,
        sent / chip.link_rate,
    )


def device_time(
    program: Program,
    cost: ModelCost,
    layout: Layout,
    lengths: Lengths,
    *,
    examples: int,
    rows: int,
    outputs: int = 1,
    is_shared: bool = True,
    host: float = 0.0,
) -> Duration:
    """Seconds for examples of these lengths, spread over all teams or over one.

    Args:
        program: What is computed.
        cost: The model.
        layout: Where.
        lengths: Of the examples.
        examples: How many, repeats counted.
        rows: Rows of a batch in each data group.
        outputs: s of the program.
        is_shared: Whether all teams take their share.
        host: Seconds of the host, added.
    """
    groups = layout.data if is_shared else layout.groups_per_team
    batches = examples / (rows * groups)
    totals = [0.0, 0.0, 0.0]
    for tokens, share in lengths.shares:
        batch = Batched(cost, rows, tokens, outputs, layout.model)
        found = batch_roofs(program, batch, layout.hardware.chip)
        for place, seconds in enumerate(found):
            totals[place] += batches * share * seconds
    compute, memory, network = totals
    efficiency = layout.hardware.chip.efficiency
    return Duration(compute, memory, network, host, efficiency)


def mean_flops(
    program: Program, cost: ModelCost, lengths: Lengths, outputs: int
) -> float:
    """FLOPs of an example on average, padding included."""
    return sum(
        share * program.work(cost, tokens, outputs).total
        for tokens, share in lengths.shares
    )


def _stream_bytes(batch: Batched) -> float:
    """Bytes of the stream between layers, for all layers."""
    config = batch.cost.config
    numbers = len(config.layers) * batch.rows * batch.tokens * config.hidden_size
    return float(numbers * batch.cost.bytes_each)
