"""What a model reads: a table of counts, and examples with their targets marked."""

from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from ntkjax.reports.numbers import count_text, percent_text, whole_text
from ntkjax.reports.plain_text import visible


BEGIN, END = "⟦", "⟧"
"""What stands around targets, seen without color too."""


class Piece(NamedTuple):
    """A part of an example's text, and whether it is to be predicted."""

    text: str
    is_target: bool


def data_rows(facts: dict) -> list[tuple[str, str]]:
    """What is counted, and the count with what belongs to it."""
    rows = [("examples", whole_text(facts["num_examples"]))]
    templates = facts["templates"]
    for name, number in templates.items():
        rows.append((f"  {name} template", whole_text(number)))
    if facts["turns"] is not None:
        rows.append(("turns of chats", _spread(facts["turns"], "chat")))
        for role, number in facts["roles"].items():
            rows.append((f"  {role}", whole_text(number)))
    rows.append(("tokens", _spread(facts["tokens"])))
    share = facts["targets"]["total"] / facts["tokens"]["total"]
    targets = f"{_spread(facts['targets'])}; {percent_text(share)} of all tokens"
    rows.append(("target tokens", targets))
    cut = f"{whole_text(facts['num_cut'])} of {whole_text(facts['num_examples'])}"
    rows.append((f"cut to {facts['max_length']} tokens", cut))
    return rows


def data_table(facts: dict) -> Table:
    """The counts for a terminal."""
    table = Table(
        box=box.SIMPLE_HEAD, show_header=False, show_edge=False, pad_edge=False
    )
    for name, value in data_rows(facts):
        table.add_row(Text(name), Text(value))
    return table


def marked(pieces: list[Piece]) -> Text:
    """An example's text, targets between ⟦ and ⟧, in bold green where there is color.

    The text may hold anything: what acts unseen is written out, and so are these two
    brackets where they stand in the text itself.
    """
    text = Text()
    for piece in pieces:
        shown = visible(piece.text)
        for bracket in (BEGIN, END):
            shown = shown.replace(bracket, f"⟨U+{ord(bracket):04X}⟩")
        if piece.is_target:
            text.append(f"{BEGIN}{shown}{END}", style="bold green")
        else:
            text.append(shown)
    return text


def _spread(spread: dict, unit: str = "example") -> str:
    mean, low, high = (spread[key] for key in ("mean", "min", "max"))
    return (
        f"{whole_text(spread['total'])}; per {unit} {count_text(mean)} "
        f"({whole_text(low)} to {whole_text(high)})"
    )
