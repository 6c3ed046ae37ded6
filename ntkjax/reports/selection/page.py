"""One self-contained HTML page about a selection: no scripts, no network."""

from pathlib import Path

from markupsafe import Markup

from ntkjax.reports.selection.facts import method_facts, method_tables
from ntkjax.reports.selection.findings import (
    agreement_findings,
    duplicates_finding,
    length_finding,
    opening,
    rank_finding,
    warmup_finding,
    warnings,
)
from ntkjax.reports.selection.tables import composition, source_ratio
from ntkjax.reports.selection.words import glossary, method_finding, score_words
from ntkjax.reports.templates import render
from ntkjax.selection.result import Duplicates, RankedText, SelectionResult


MOST_DUPLICATES = 20
"""So many pairs are listed of each kind; the rest is counted."""


def write_selection_page(result: SelectionResult, path: Path) -> None:
    """Writes the page of one run to `path`."""
    path.write_text(selection_page(result), encoding="utf-8")


def selection_page(result: SelectionResult) -> str:
    """The page as a string; see `write_selection_page`."""
    sources = composition(result.sources)
    largest = max((max(r.pool_share, r.selected_share) for r in sources), default=0)
    return render(
        "selection/page.html.j2",
        result=result,
        opening=opening(result),
        warnings=warnings(result),
        sources=sources,
        ratio=source_ratio,
        largest_share=largest or 1,
        length_finding=length_finding(result),
        agreement=agreement_findings(result),
        warmup=warmup_finding(result),
        method_finding=method_finding(result),
        method_facts=method_facts(result),
        method_tables=method_tables(result),
        definition=score_words(result).definition,
        glossary=glossary(result),
        rank=rank_finding(result),
        groups=_text_groups(result),
        duplicates=_duplicate_groups(result.duplicates),
        figures=_figures(result),
    )


def _text_groups(
    result: SelectionResult,
) -> list[tuple[str, str, tuple[RankedText, ...]]]:
    """Anchor, title and rows of the three groups of texts."""
    first, last = "Highest scores", "Lowest of the scored"
    if result.picker != "top":
        first, last = "Picked first", "Last of the scored"
    elif result.reverse:
        first, last = "Lowest scores", "Highest of the scored"
    texts = result.texts
    return [
        ("best", first, texts.best),
        ("cut", "Around the cut", texts.cut),
        ("worst", last, texts.worst),
    ]


def _duplicate_groups(duplicates: Duplicates) -> list[dict]:
    """Sentence, rows and what a pair is, for the three comparisons."""
    comparisons = (
        ("holdout", "a holdout text", "chosen example, holdout example"),
        ("target", "a target text", "chosen example, target example"),
        ("within", "an earlier chosen example", "earlier example, its repetition"),
    )
    groups = []
    for key, what, pair in comparisons:
        record = getattr(duplicates, key)
        rows = record.rows if record else ()
        groups.append(
            {
                "finding": duplicates_finding(record, what),
                "pair": pair,
                "rows": rows[:MOST_DUPLICATES],
                "num_hidden": max(0, len(rows) - MOST_DUPLICATES),
                "is_leakage": key == "holdout",
            }
        )
    return groups


def _figures(result: SelectionResult) -> dict[str, Markup]:
    """Figures by name, marked as safe: they hold numbers and fixed words only."""
    from ntkjax.reports.selection.plots import (
        length_figure,
        loss_figure,
        scores_figure,
        votes_figure,
    )

    distributions = result.distributions
    figures = {"scores": scores_figure(distributions.scores)}
    if distributions.votes is not None:
        figures["votes"] = votes_figure(distributions.votes)
    if distributions.length_score.tokens:
        figures["length"] = length_figure(distributions.length_score)
    if len(result.warmup.history) > 1:
        figures["loss"] = loss_figure(result.warmup.history)
    return {name: Markup(svg) for name, svg in figures.items()}
