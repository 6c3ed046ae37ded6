"""Prints what `ntkjax demo` found."""

from rich.console import Console

from ntkjax.commands.demo.run import run_demo
from ntkjax.commands.demo.settings import DemoSettings
from ntkjax.reports.demo.tables import demo_summary


def demo(settings: DemoSettings) -> int:
    """Runs the demo; prints the tables, whatever they say, and the page's path."""
    console = Console()
    if console.width < 80:
        console = Console(width=80)
    run = run_demo(settings)
    console.print(demo_summary(run.result))
    again = " (finished before with the same settings; read again)" * run.reused
    console.print(
        f"\nreport: {settings.out / 'report.html'}{again}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0
