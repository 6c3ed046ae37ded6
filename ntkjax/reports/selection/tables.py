"""The sources of a selection as rows, and its summary for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ntkjax.reports.numbers import percent_text, ratio_text, whole_text
from ntkjax.reports.plain_text import one_line, visible
from ntkjax.reports.selection.findings import (
    agreement_findings,
    length_finding,
    opening,
    warmup_finding,
    warnings,
)
from ntkjax.reports.selection.words import method_finding
from ntkjax.selection.result import SelectionResult, SourceCounts


MANY_SOURCES = 25
"""More sources than this are added up in one row."""


def composition(
    sources: Sequence[SourceCounts], most: int = MANY_SOURCES
) -> list[SourceCounts]:
    """The sources, those with most chosen first; all after `most` in one row."""
    rows = sorted(sources, key=lambda row: (-row.selected, -row.pool, row.source))
    shown, rest = rows[:most], rows[most:]
    return [*shown, _sum(rest)] if len(rest) > 1 else rows


def source_ratio(row: SourceCounts) -> str:
    """Its share of the chosen as a multiple of its share of the pool."""
    if row.pool_share == 0:
        return "–"
    return ratio_text(row.selected_share / row.pool_share)


def selection_summary(result: SelectionResult) -> Group:
    """What was chosen, warnings, sources and key facts, for 80 columns and more.

    Texts go in as `rich.text.Text`, so that brackets in them are not read as markup.
    """
    facts = [length_finding(result), *agreement_findings(result)]
    facts.append(warmup_finding(result))
    found = method_finding(result)
    if found is not None:
        facts.append(found)
    return Group(
        Text(opening(result)),
        *(Text(warning, style="bold yellow") for warning in warnings(result)),
        Text(),
        _table(composition(result.sources)),
        Text(),
        *(Text(fact) for fact in facts),
    )


def _table(rows: Sequence[SourceCounts]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title="Where the chosen examples come from",
        caption="ratio: share of the chosen over share of the pool.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("source", overflow="fold", max_width=40)
    has_shortlist = any(row.shortlisted is not None for row in rows)
    middle = ["shortlisted"] if has_shortlist else []
    for header in ("pool", *middle, "chosen", "of the pool", "of the chosen", "ratio"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        counts = [row.pool, *([row.shortlisted or 0] if middle else []), row.selected]
        table.add_row(
            Text(visible(one_line(row.source, 80))),
            *map(whole_text, counts),
            percent_text(row.pool_share),
            percent_text(row.selected_share),
            source_ratio(row),
        )
    return table


def _sum(rows: Sequence[SourceCounts]) -> SourceCounts:
    total = lambda name: sum(getattr(row, name) or 0 for row in rows)
    has_shortlist = rows[0].shortlisted is not None
    return SourceCounts(
        source=f"{len(rows)} other sources",
        pool=total("pool"),
        shortlisted=total("shortlisted") if has_shortlist else None,
        selected=total("selected"),
        pool_share=total("pool_share"),
        selected_share=total("selected_share"),
    )
