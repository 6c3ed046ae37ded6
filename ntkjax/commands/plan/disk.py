"""What a selection writes to its run directory, and what a kill costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ntkjax.commands.plan.costs.roofline import Layout
from ntkjax.commands.plan.selection import Selection
from ntkjax.commands.plan.stages import Stage
from ntkjax.selection.passes import Pass


_RECORD_BYTES = 600
"""Of the record of a shard and the header of its arrays."""
_RESULT_BYTES = 64
"""Of a candidate in the table of scores."""
_LENGTH_BYTES = 5
"""Of its length and cut, which every pass notes."""


@dataclass(frozen=True)
class Disk:
    """What is written to the run directory.

    Attributes:
        total: Bytes of all shards, snapshots and results.
        shards: How many shards.
        lost_examples: Candidates that a kill loses at most, in every process.
        lost_seconds: The time that these take.
    """

    total: int
    shards: int
    lost_examples: int
    lost_seconds: float


def disk_of(
    selection: Selection,
    layout: Layout,
    passes: Sequence[Pass],
    stages: Sequence[Stage],
) -> Disk:
    """Shards of all passes, snapshots of the warm-up, and the table of scores."""
    size = selection.settings.rows_per_shard
    shared = [each for each in passes if each.is_shared]
    shards = sum(math.ceil(each.examples / size) for each in shared)
    rows = sum(each.examples * (each.row_bytes + _LENGTH_BYTES) for each in shared)
    sums = sum(math.ceil(each.examples / size) * each.shard_bytes for each in shared)
    snapshots = selection.snapshots * 12 * selection.cost.num_theta
    if selection.warmup_seen == 0:
        snapshots = 0
    results = _RESULT_BYTES * selection.workload.num_pool
    total = rows + sums + snapshots + results + shards * _RECORD_BYTES
    slowest = max(_shard_seconds(each, stages, layout, size) for each in shared)
    examples = min(size, max(each.examples for each in shared))
    return Disk(total, shards, examples, slowest)


def _shard_seconds(
    each: Pass, stages: Sequence[Stage], layout: Layout, size: int
) -> float:
    """Seconds that one process needs for a shard of a pass."""
    stage = next(stage for stage in stages if stage.name == each.stage)
    return stage.seconds * layout.num_teams * min(size, each.examples) / each.examples
