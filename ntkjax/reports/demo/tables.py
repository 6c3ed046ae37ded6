"""The tables of a demo as rows of text, and its summary for a terminal."""

from collections.abc import Iterable
from typing import NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ntkjax.data.world_words import DISTRACTORS, DOMAINS, SKILLS
from ntkjax.reports.demo.findings import (
    CHANCE,
    accuracy_text,
    chosen_finding,
    help_findings,
    kernels_finding,
    opening,
    points_text,
    signed_points,
)
from ntkjax.reports.demo.result import DemoResult
from ntkjax.reports.fidelity.tables import fidelity_cells
from ntkjax.reports.numbers import percent_text, whole_text
from ntkjax.reports.selection.tables import composition
from ntkjax.selection.result import SourceCounts


THING = "key"
"""Stands in the questions that are shown as examples; a new thing of every world."""

AS_IT_IS = "nothing: the model as it is"
"""Names the row of the model without fine-tuning."""

NUM_KERNEL_COLUMNS = 5
"""Name, cost, ratio, error and Spearman: the first columns of `fidelity_cells`."""


class Wording(NamedTuple):
    """A skill as the pool asks for it and as the domain does.

    Attributes:
        skill: Its name.
        pool: A question of the pool.
        domain: A question of the domain with the same answer.
    """

    skill: str
    pool: str
    domain: str


class SourceRow(NamedTuple):
    """A source of the pool.

    Attributes:
        kind: needed, distractor, or empty.
        counts: How many of it are where.
    """

    kind: str
    counts: SourceCounts


def wordings(result: DemoResult) -> list[Wording]:
    """One question of the pool and one of the domain for each needed skill."""
    own = DOMAINS[result.domain]
    return [
        Wording(
            skill,
            SKILLS[skill].wordings[0].format(THING),
            own[skill][0].format(THING),
        )
        for skill in result.needed
    ]


def accuracy_rows(result: DemoResult) -> list[tuple[str, str, str]]:
    """What the model was fine-tuned on, accuracy with interval, and single seeds."""
    base = (AS_IT_IS, percent_text(result.base_accuracy), "")
    return [
        base,
        *(
            (name, accuracy_text(arm), _seeds(f"{100 * v:.1f}" for v in arm.values))
            for name, arm in result.accuracy.items()
        ),
    ]


def difference_rows(result: DemoResult) -> list[tuple[str, str, str]]:
    """What is compared, difference in points with interval, and single seeds."""
    return [
        (name, points_text(found), _seeds(map(signed_points, found.values)))
        for name, found in result.differences.items()
    ]


def kernel_rows(result: DemoResult) -> list[tuple[str, ...]]:
    """Name, cost, cross-term ratio, error after factor and Spearman of each kernel."""
    return [fidelity_cells(kernel)[:NUM_KERNEL_COLUMNS] for kernel in result.kernels]


def source_rows(result: DemoResult) -> list[SourceRow]:
    """All sources, those with most chosen first."""
    needed = {row.source for row in result.sources if row.needed}
    rows = composition(result.sources, most=len(result.sources))
    return [SourceRow(_kind(row.source, needed), row) for row in rows]


def demo_summary(result: DemoResult) -> Group:
    """What the page says, in short, for 80 columns and more.

    Texts go in as `rich.text.Text`, so that brackets in them are not read as markup.
    """
    return Group(
        Text(" ".join(opening(result))),
        Text(),
        _accuracy_table(result),
        Text(),
        Text(" ".join(help_findings(result)), style="bold"),
        Text(),
        Text(chosen_finding(result)),
        Text(),
        Text(kernels_finding(result.kernels)),
        Text(),
        Text(f"Seconds: {seconds_text(result.seconds)}."),
    )


def seconds_text(seconds: dict[str, float]) -> str:
    """Seconds by part: `fidelity 28.1, selection 14.5, all 96.0`."""
    return ", ".join(f"{part} {value:,.1f}" for part, value in seconds.items())


def _accuracy_table(result: DemoResult) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title=(
            f"Right answers to {whole_text(result.num_questions)} questions; "
            f"guessing gives {CHANCE:.0%}"
        ),
        title_justify="left",
    )
    table.add_column("fine-tuned on", no_wrap=True)
    table.add_column(Text("accuracy [95%]"), justify="right", no_wrap=True)
    table.add_column("single seeds", justify="right", overflow="fold")
    for row in accuracy_rows(result):
        table.add_row(*map(Text, row))
    return table


def _kind(source: str, needed: set[str]) -> str:
    if source in needed:
        return "needed"
    return "distractor" if source in DISTRACTORS else ""


def _seeds(texts: Iterable[str]) -> str:
    return ", ".join(texts)
