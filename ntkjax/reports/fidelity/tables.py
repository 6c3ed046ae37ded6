"""The table of kernels: plain headers and cells, and the same as a rich table."""

from rich import box
from rich.table import Table
from rich.text import Text

from ntkjax.fidelity.compare import KernelFidelity
from ntkjax.fidelity.ranking import MEASURES, Measure
from ntkjax.fidelity.result import FidelityResult
from ntkjax.reports.numbers import (
    count_text,
    error_text,
    interval_text,
    ratio_text,
    share_text,
)


def fidelity_headers(result: FidelityResult) -> tuple[str, ...]:
    """Column headers; that of an overlap names N and what chance would give."""
    return (
        "kernel",
        "cost",
        "cross-term ratio",
        "error after factor",
        *(_filled(measure.header, result) for measure in MEASURES.values()),
    )


def fidelity_cells(kernel: KernelFidelity) -> tuple[str, ...]:
    """Cells of one kernel, in the order of `fidelity_headers`."""
    errors = kernel.cross_terms
    return (
        kernel.name,
        count_text(kernel.cost),
        ratio_text(errors.raw_pairs.q50),
        error_text(errors.relative_error),
        *(_cell(kernel, name, measure) for name, measure in MEASURES.items()),
    )


def measure_words(result: FidelityResult) -> list[tuple[str, str]]:
    """What each measure is called, and what it means."""
    return [
        (_filled(measure.word, result), _filled(measure.meaning, result))
        for measure in MEASURES.values()
    ]


def _cell(kernel: KernelFidelity, name: str, measure: Measure) -> str:
    found = getattr(kernel.mean_score, name)
    return interval_text(found) if measure.has_interval else share_text(found.value)


def _filled(text: str, result: FidelityResult) -> str:
    """A text of `Measure`, with this run's numbers."""
    return text.format(
        top=result.top,
        candidates=result.num_candidates,
        chance=error_text(result.chance_overlap),
    )


def fidelity_sections(
    result: FidelityResult,
) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Titled groups of rows: kernels, sketches and stability, each only if present."""
    others = () if result.stability is None else (result.stability,)
    groups = [
        ("Kernels", result.kernels),
        ("Sketches of their gradients", result.sketches),
        ("The exact kernel at another adapter", others),
    ]
    return [
        (title, [fidelity_cells(kernel) for kernel in kernels])
        for title, kernels in groups
        if kernels
    ]


def fidelity_table(result: FidelityResult) -> Table:
    """The table for a terminal of 100 columns.

    Names go in as `rich.text.Text`, so that brackets in them are not read as markup.
    """
    sections = fidelity_sections(result)
    rows = [row for _, group in sections for row in group]
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title="Approximate kernels against the exact one",
        caption=(
            "cost: forward passes per example. Ratio: median over pairs. "
            "Rankings: candidates by mean score."
        ),
        title_justify="left",
        caption_justify="left",
    )
    name, *headers = fidelity_headers(result)
    table.add_column(Text(name), overflow="fold")
    for index, header in enumerate(headers, start=1):
        # Headers and names may wrap, numbers may not.
        texts = header.split(" ") + [row[index] for row in rows]
        table.add_column(Text(header), justify="right", width=max(map(len, texts)))
    for _, group in sections:
        for row in group:
            table.add_row(*(Text(cell) for cell in row))
        table.add_section()
    return table
