import pytest

from ntkjax.commands.plan.costs.hardware import Chip, Hardware
from ntkjax.commands.plan.costs.model_cost import ModelCost
from ntkjax.commands.plan.costs.programs import PROGRAMS, Batched, written_bytes
from ntkjax.commands.plan.costs.roofline import (
    Layout,
    batch_roofs,
    device_time,
    mean_flops,
)
from ntkjax.commands.plan.workload import Lengths
from tests.commands.plan.problem import LORA
from tests.problems import tiny_config


CHIP = Chip("v0", 6e9, 1e9, 1e9, 1e9, 1e8, 4, efficiency=0.5)
COST = ModelCost(tiny_config(num_layers=2), LORA, "bfloat16")
FORWARD = PROGRAMS["embedding"]
LENGTHS = Lengths(((16, 0.5), (32, 0.5)), 20.0)


def layout(data: int, model: int = 1) -> Layout:
    return Layout(Hardware("v0-8", CHIP, data * model), data, model)


def test_roofs_by_hand():
    batch = Batched(COST, rows=3, tokens=16, model=2)
    compute, memory, network = batch_roofs(FORWARD, batch, CHIP)
    products = (COST.matrices(16) + COST.attention(16)) / 2 / 6e9
    assert compute == pytest.approx(3 * (products + COST.adapter(16) / 1e9))
    weights = 2 * COST.divided_weights(2)
    assert memory == pytest.approx((weights + 2 * written_bytes(batch)) / 1e9)
    # Two sums in each of two layers of rows of 12 numbers; half of twice the bytes.
    assert network == pytest.approx(2 * 2 * 3 * 16 * 12 * 2 / 1e8)


def test_one_device_sends_nothing():
    assert batch_roofs(FORWARD, Batched(COST, 3, 16), CHIP)[2] == 0


def test_teams_share_the_work():
    times = [
        device_time(
            FORWARD,
            COST,
            layout(8),
            LENGTHS,
            examples=800,
            rows=5,
            is_shared=shared,
            host=1.0,
        )
        for shared in (True, False)
    ]
    assert times[1].device == pytest.approx(2 * times[0].device)  # 8 groups, 4
    assert times[0].total == times[0].device + 1
    assert times[0].binds == "host"


def test_the_slowest_roof_binds_and_efficiency_divides():
    found = device_time(
        FORWARD, COST, layout(1), LENGTHS, examples=10, rows=5, is_shared=True
    )
    assert found.device == max(found.compute, found.memory) / 0.5
    assert getattr(found, found.binds) == max(found.compute, found.memory)


def test_processes_of_a_large_model_work_in_teams():
    wide = layout(2, 8)  # four processes of four chips, two data groups
    assert (wide.num_teams, wide.groups_per_team) == (2, 1)
    assert wide.rows(32) == 32
    assert (layout(8).num_teams, layout(8).groups_per_team) == (2, 4)
    assert layout(8).rows(32) == 8


def test_flops_are_those_of_padded_texts():
    each = [FORWARD.work(COST, tokens, 1).total for tokens in (16, 32)]
    assert mean_flops(FORWARD, COST, LENGTHS, 1) == pytest.approx(sum(each) / 2)
