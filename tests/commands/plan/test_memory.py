from ntkjax.commands.plan.costs.hardware import named_hardware
from ntkjax.commands.plan.costs.programs import PROGRAMS, STEP, Batched
from ntkjax.commands.plan.costs.roofline import Layout
from ntkjax.commands.plan.memory import memory_of
from ntkjax.commands.plan.passes import passes_of
from tests.commands.plan.problem import small_selection


LAYOUT = Layout(named_hardware("v5e-8"), 4, 2)


def test_every_program_is_listed_once_the_largest_first():
    selection = small_selection()
    found = memory_of(selection, LAYOUT, passes_of(selection))
    assert [use.program for use in found].count("embedding") == 1
    assert {use.program for use in found} == {
        STEP,
        "embedding",
        "kernel direction",
        "kernel score",
    }
    totals = [use.total for use in found]
    assert totals == sorted(totals, reverse=True)


def test_the_total_is_the_sum_of_its_parts():
    selection = small_selection(method="loss", tokens_per_batch=90)
    (use,) = memory_of(selection, LAYOUT, passes_of(selection))
    cost = selection.cost
    held = 4 * cost.divided_weights(2) + 4 * cost.num_theta
    assert use.total == held + use.arguments + use.activations + use.logits
    assert use.rows == 5  # 90 // 16
    batch = Batched(cost, 5, 16, model=2)
    program = PROGRAMS["loss"]
    assert use.activations + use.logits == program.temporary(batch)
