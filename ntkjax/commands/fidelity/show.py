"""Prints what `ntkjax fidelity` found."""

from rich.console import Console, Group

from ntkjax.commands.fidelity.run import run_fidelity
from ntkjax.commands.fidelity.settings import FidelitySettings
from ntkjax.fidelity.result import FidelityResult
from ntkjax.kernels.table import kernel_summaries
from ntkjax.reports.fidelity.tables import fidelity_table
from ntkjax.reports.listing import listing


def fidelity(settings: FidelitySettings) -> int:
    """Runs the measurement; prints coverage, cuts, the table and where files are."""
    run = run_fidelity(settings)
    console = Console()
    if console.width < 100:
        console = Console(width=100)
    _print_facts(console, run.result)
    console.print(fidelity_table(run.result))
    page = settings.out / "report.html"
    again = " (finished before with the same settings; read again)" * run.reused
    console.print(
        f"report: {page}{again}", markup=False, highlight=False, soft_wrap=True
    )
    return 0


def _print_facts(console: Console, result: FidelityResult) -> None:
    carrying = ", ".join(
        f"{row.kind} {row.adapted}/{row.modules} ({row.parameters:,})"
        for row in result.coverage
    )
    lines = [f"θ: {result.num_parameters:,} parameters in {carrying}"]
    cut = result.num_cut
    if cut.queries or cut.candidates:
        lines.append(
            f"cut to {result.max_length} tokens: {cut.queries} of "
            f"{result.num_queries} queries, {cut.candidates} of "
            f"{result.num_candidates} candidates"
        )
    if result.padded_rows:
        lines.append(f"padded rows of the head left out: {result.padded_rows}")
    if result.left_out:
        names = ", ".join(result.left_out)
        lines.append(f"left out, the head does not allow them: {names}")
    if result.readout_note:
        lines.append(f"full-logit path: {result.readout_note}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def choices() -> Group:
    """The kernels, for `--help`."""
    kernels = listing("--kernels", "what it is", kernel_summaries())
    return Group(
        "", kernels, "With centered_ before any but summed: of the centered head."
    )
