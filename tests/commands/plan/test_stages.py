import pytest

from ntkjax.commands.plan.costs.hardware import named_hardware
from ntkjax.commands.plan.costs.programs import PROGRAMS
from ntkjax.commands.plan.costs.roofline import Host, Layout, Rate
from ntkjax.commands.plan.passes import passes_of
from ntkjax.commands.plan.stages import Clock, Stage
from tests.commands.plan.problem import small_selection


LAYOUT = Layout(named_hardware("v5e-8"), 8, 1)
HOST = Host(read_rate=1e6, float64_rate=1e6, tokens_rate=1e3, row_seconds=0.01)


def stages(selection, rates=None, host=HOST, layout=LAYOUT) -> dict[str, Stage]:
    clock = Clock(selection, layout, rates or {}, host)
    return {row.name: row for row in clock.stages(passes_of(selection))}


def test_stages_come_in_order():
    assert list(stages(small_selection())) == [
        "load",
        "warm-up",
        "embeddings",
        "embeddings of the target",
        "vote",
        "directions of the target",
        "scores",
        "picker",
    ]


def test_the_host_by_hand():
    selection = small_selection()
    found = stages(selection)
    weights = 4 * selection.cost.num_weights / 1e6
    assert found["load"].seconds == pytest.approx(weights + 100 * 0.01)
    products = 2 * 100 * 5 * 12 / 1e6
    read = 2 * 100 * 4 * 12 / 1e6
    assert found["vote"].seconds == pytest.approx(products + read)
    # 100 texts of 16 tokens, read again by two processes; 48 bytes stored of each.
    waits = 50 * (0.01 + 16 / 1e3 + 48 / 1e6)
    assert found["embeddings"].seconds == pytest.approx(waits, rel=1e-3)
    assert found["embeddings"].binds == "host"


def test_measured_rates_are_scaled_by_flops_and_compile_once():
    selection = small_selection(warmup="none")
    flops = PROGRAMS["embedding"].work(selection.cost, 16, 1).total
    rates = {"embedding": Rate(0.5, 3.0, flops / 2)}
    host = Host(1e18, 1e18, 1e18, 0.0)
    found = stages(selection, rates, host)
    assert found["embeddings"].seconds == pytest.approx(100 * 0.5 * 2 + 3)
    assert found["embeddings"].binds == "measured"
    assert found["embeddings of the target"].seconds == pytest.approx(5 * 0.5 * 2)
    assert found["scores"].binds != "measured"


def test_more_chips_take_less_time():
    fast = Host(1e18, 1e18, 1e18, 0.0)
    many = Layout(named_hardware("v5e-16"), 16, 1)
    one, two = (
        stages(small_selection(), host=fast, layout=layout)["scores"].seconds
        for layout in (LAYOUT, many)
    )
    assert one == pytest.approx(2 * two)
