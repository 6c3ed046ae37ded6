"""Prints what `ntkjax evaluate` found."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ntkjax.commands.evaluate.run import PREDICTIONS, run_evaluate
from ntkjax.commands.evaluate.settings import EvaluateSettings
from ntkjax.evaluation.result import EvaluationResult
from ntkjax.math.bootstrap import Estimate
from ntkjax.reports.numbers import count_text, interval_text


_NUMBERS = {
    "perplexity": "perplexity [95%]",
    "nll": "NLL [95%]",
    "accuracy": "accuracy [95%]",
    "accuracy_sum": "summed [95%]",
    "exact_match": "exact match [95%]",
}


def evaluate(settings: EvaluateSettings) -> int:
    """Runs the evaluation; prints cuts, the table and where files are."""
    run = run_evaluate(settings)
    table = evaluation_table(run.result)
    needed = Console(width=1000).measure(table).maximum
    console = Console(width=max(Console().width, needed))
    _print_cuts(console, run.result)
    console.print(table)
    again = " (finished before with the same settings; read again)" * run.reused
    path = settings.out / PREDICTIONS
    line = f"predictions: {path}{again}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def evaluation_table(result: EvaluationResult) -> Table:
    """Overall and, where there is more than one source, by source."""
    rows = [("all", result.overall)]
    if len(result.sources) > 1:
        rows += [(_name(row.source), row) for row in result.sources]
    shown = [name for name in _NUMBERS if any(getattr(row, name) for _, row in rows)]
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title=Text(result.adapter or f"{result.model}, no adapter"),
        caption=_caption(shown),
        title_justify="left",
        caption_justify="left",
    )
    longest = max(len(source) for source, _ in rows)
    table.add_column("source", overflow="fold", width=max(6, min(longest, 24)))
    table.add_column("examples", justify="right", no_wrap=True)
    for name in shown:
        # Headers may wrap, numbers may not.
        cells = [_cell(name, getattr(row, name)) for _, row in rows]
        width = max(map(len, (*_NUMBERS[name].split(" "), *cells)))
        table.add_column(Text(_NUMBERS[name]), justify="right", width=width)
    for index, (source, row) in enumerate(rows):
        cells = [_cell(name, getattr(row, name)) for name in shown]
        table.add_row(*map(Text, (source, f"{row.examples:,}", *cells)))
        if index == 0:
            table.add_section()
    return table


def _name(source: str | None) -> str:
    return "(unnamed)" if source is None else source


def _cell(name: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    if name != "perplexity":
        return interval_text(estimate)
    value, *ends = map(count_text, (estimate.value, estimate.low, estimate.high))
    return f"{value} [{', '.join(ends)}]"


def _caption(shown: list[str]) -> str:
    parts = ["NLL: per target token, mean over examples."]
    if "accuracy" in shown:
        parts.append("Accuracy: by likelihood per token, and summed.")
    return " ".join(parts)


def _print_cuts(console: Console, result: EvaluationResult) -> None:
    totals = {
        "responses": result.overall.examples,
        "choices": result.num_choices,
        "prompts": result.overall.examples,
    }
    cuts = [
        f"{number} of {totals[kind]} {kind}"
        for kind, number in result.num_cut.items()
        if number
    ]
    if cuts:
        line = f"cut to fit {result.max_length} tokens: {', '.join(cuts)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
