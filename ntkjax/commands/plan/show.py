"""Prints what a selection will cost; the exit code is 0 also where it does not fit."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ntkjax.commands.plan.run import PlanResult, run_plan
from ntkjax.commands.plan.settings import PlanSettings
from ntkjax.commands.plan.tables import (
    Listing,
    disk_line,
    fit_line,
    honesty_lines,
    memory_table,
    mesh_line,
    size_text,
    stage_table,
)
from ntkjax.commands.select.show import choices as choices  # for --help
from ntkjax.store.results import write_result


def plan(settings: PlanSettings) -> int:
    """Plans; prints the mesh, memory, times, disk, and what makes it fit."""
    planned = run_plan(settings)
    console = Console()
    if console.width < 100:
        console = Console(width=100)
    found = planned.plan
    _print(console, mesh_line(found))
    console.print(_table(memory_table(found)))
    _print(console, fit_line(found))
    if not found.fits:
        _print(console, change_line(planned))
    console.print()
    console.print(_table(stage_table(found)))
    for line in (disk_line(found), *honesty_lines(found, planned.hardware)):
        _print(console, line)
    if settings.json is not None:
        write_result(settings.json, planned)
        _print(console, f"numbers: {settings.json}")
    return 0


def change_line(planned: PlanResult) -> str:
    """What makes it fit."""
    change = planned.change
    if change is None:
        return "no mesh, type, batch or number of chips was found that makes it fit"
    plan = change.plan
    return (
        f"smallest change that makes it fit: {change.flags} (then "
        f"{size_text(plan.needs)} of {size_text(plan.limit)} on each device, "
        f"mesh data={plan.data},model={plan.model})"
    )


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(listing: Listing) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title_justify="left"
    )
    for index, header in enumerate(listing.headers):
        justify = "right" if index else "left"
        table.add_column(Text(header), justify=justify, no_wrap=index == 0)
    for row in listing.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
