"""A list of names and what each means, as `--help` prints it below the flags."""

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text


def listing(what: str, meaning: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Two columns with these headers; names do not wrap."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(what, no_wrap=True)
    table.add_column(meaning, overflow="fold")
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    return table
