import pytest

from ntkjax.commands.plan.costs.hardware import named_hardware
from ntkjax.commands.plan.costs.roofline import Host, Layout
from ntkjax.commands.plan.disk import disk_of
from ntkjax.commands.plan.passes import passes_of
from ntkjax.commands.plan.stages import Clock
from tests.commands.plan.problem import small_selection


LAYOUT = Layout(named_hardware("v5e-8"), 8, 1)


def disk(**changes):
    selection = small_selection(**changes)
    passes = passes_of(selection)
    stages = Clock(selection, LAYOUT, {}, Host()).stages(passes)
    return selection, stages, disk_of(selection, LAYOUT, passes, stages)


def test_bytes_by_hand():
    selection, _, found = disk(rows_per_shard=30)
    assert found.shards == 4 + 2  # embeddings of 100, scores of 40
    shards = 100 * (4 * 12 + 5) + 40 * (4 + 5) + 6 * 600
    snapshots = 12 * selection.cost.num_theta * selection.snapshots
    assert found.total == shards + snapshots + 64 * 100


def test_without_a_warm_up_there_are_no_snapshots():
    selection, _, found = disk(method="gradient-dot", warmup="none")
    assert found.total == 100 * 9 + 600 + 6400
    selection, _, sums = disk(method="dualsft", warmup="none")
    assert sums.total > 4 * selection.cost.num_theta  # the gradient of a shard


def test_a_kill_loses_a_shard_of_each_process():
    _, stages, found = disk(rows_per_shard=10)
    assert found.lost_examples == 10
    seconds = {row.name: row.seconds for row in stages}
    slowest = max(seconds["embeddings"] / 10, seconds["scores"] / 4)
    assert found.lost_seconds == pytest.approx(2 * slowest)  # two processes
    assert disk(rows_per_shard=1000)[2].lost_examples == 100
