from ntkjax.commands.plan.costs.hardware import named_hardware
from ntkjax.commands.plan.plan import make_plan
from ntkjax.commands.plan.tables import (
    disk_line,
    fit_line,
    honesty_lines,
    memory_table,
    mesh_line,
    stage_table,
)
from tests.commands.plan.problem import small_selection


HARDWARE = named_hardware("v5p-8")
PLAN = make_plan(small_selection(), HARDWARE)


def test_tables_have_a_cell_for_every_header():
    for table in (memory_table(PLAN), stage_table(PLAN)):
        assert {len(row) for row in table.rows} == {len(table.headers)}
    assert [row[0] for row in stage_table(PLAN).rows][-1] == "total"
    assert len(memory_table(PLAN).rows) == len(PLAN.memory)


def test_lines_say_what_is_assumed():
    assert "4 chips, 1 processes; mesh data=4,model=1" in mesh_line(PLAN)
    assert fit_line(PLAN).startswith("fits: needs")
    assert "a kill loses at most 100 candidates" in disk_line(PLAN)
    lines = honesty_lines(PLAN, HARDWARE)
    assert "71.0%" in lines[0]
    assert any("not measured here" in line for line in lines)
    assert any("https://" in line for line in lines)
