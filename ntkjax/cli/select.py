"""Prints what `ntkjax select` chose."""

from rich.console import Console

from ntkjax.pipeline.select import run_select
from ntkjax.pipeline.select_settings import SelectSettings
from ntkjax.pipeline.select_stages import Unfinished
from ntkjax.reports.selection_tables import selection_summary


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
