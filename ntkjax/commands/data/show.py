"""Prints what `ntkjax data` found."""

from rich.console import Console, Group
from rich.text import Text

from ntkjax.commands.data.run import run_data
from ntkjax.commands.data.settings import DataSettings
from ntkjax.data.formats.table import FORMATS
from ntkjax.reports.data_tables import data_table, marked
from ntkjax.reports.listing import listing
from ntkjax.reports.plain_text import visible


def data(settings: DataSettings) -> int:
    """Counts; prints the table and the examples that are asked for."""
    run = run_data(settings)
    table = data_table(run.facts)
    needed = Console(width=1000).measure(table).maximum
    console = Console(width=max(Console().width, needed))
    console.print(table)
    for title, pieces in run.shown:
        console.print()
        console.print(Text(visible(title), style="bold"), soft_wrap=True)
        console.print(marked(pieces), soft_wrap=True)
    if run.shown:
        console.print("\ntargets stand between ⟦ and ⟧", highlight=False)
    return 0


def choices() -> Group:
    """The formats of data files, for `--help`."""
    rows = [
        (" ".join(each.suffixes), f"{each.name}: {each.example}") for each in FORMATS
    ]
    formats = listing("format", "such as", rows)
    return Group("", formats, "A file of another name is read as JSON lines.")
