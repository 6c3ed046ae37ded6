"""Prints what `ntkjax select` chose, and what it can choose by."""

from rich import box
from rich.console import Console, Group
from rich.table import Table

from ntkjax.pipeline.pool_passes import Unfinished
from ntkjax.pipeline.select import run_select
from ntkjax.pipeline.select_settings import SelectSettings
from ntkjax.reports.selection_tables import selection_summary
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.pickers.table import PICKERS


def select(settings: SelectSettings) -> int:
    """Runs the selection; prints the summary and where the files are."""
    console = Console()
    if console.width < 80:
        console = Console(width=80)
    try:
        run = run_select(settings)
    except Unfinished as part:
        console.print(
            f"{part.what}: this job's shards are written; {part.missing} of "
            f"{part.total} are left to other jobs. Run the same command again when "
            "they are done.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return 0
    console.print(selection_summary(run.result))
    again = " (finished before with the same settings; read again)" * run.reused
    console.print(
        f"\nreport: {settings.out / 'report.html'}{again}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0


def choices() -> Group:
    """The methods with their defaults, and the pickers, for `--help`."""
    methods = _listing("--method", "score", "warm-up", "shortlist", "picker")
    for method in METHODS.values():
        defaults = method.warmup, method.shortlist, method.picker
        methods.add_row(method.name, method.summary, *defaults)
    pickers = _listing("--picker", "takes")
    for picker in PICKERS.values():
        pickers.add_row(picker.name, picker.summary)
    return Group("", methods, "", pickers)


def _listing(flag: str, what: str, *defaults: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        caption="The last columns are the defaults." if defaults else None,
        caption_justify="left",
    )
    table.add_column(flag, no_wrap=True)
    table.add_column(what, overflow="fold")
    for name in defaults:
        table.add_column(name, no_wrap=True)
    return table
