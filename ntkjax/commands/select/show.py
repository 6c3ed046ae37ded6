"""Prints what `ntkjax select` chose, and what it can choose by."""

from rich.console import Console, Group

from ntkjax.commands.select.pool_passes import Unfinished
from ntkjax.commands.select.run import run_select
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.kernels.table import kernel_summaries
from ntkjax.reports.listing import listing
from ntkjax.reports.selection.tables import selection_summary
from ntkjax.runs.run import Outcome
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.pickers.table import PICKERS
from ntkjax.selection.result import SelectionResult
from ntkjax.store.run_path import RunPath


def select(settings: SelectSettings) -> int:
    """Runs the selection; prints the summary and where the files are."""
    try:
        run = run_select(settings)
    except Unfinished as part:
        _print_line(
            f"{part.what}: this job's shards are written; {part.missing} of "
            f"{part.total} are left to other jobs. Run the same command again when "
            "they are done, or `ntkjax merge` where each job has its own --out."
        )
        return 0
    print_selection(run, settings.out)
    return 0


def print_selection(run: Outcome[SelectionResult], out: RunPath) -> None:
    """Prints the summary of a finished run, and where its report is."""
    console = Console()
    if console.width < 80:
        console = Console(width=80)
    console.print(selection_summary(run.result))
    again = " (finished before with the same settings; read again)" * run.reused
    _print_line(f"\nreport: {out / 'report.html'}{again}")


def _print_line(line: str) -> None:
    Console().print(line, markup=False, highlight=False, soft_wrap=True)


def choices() -> Group:
    """What can be chosen, and what depends on the method, for `--help`."""
    rows = [(method.name, method.summary) for method in METHODS.values()]
    methods = listing("--method", "score", rows)
    rows = [(picker.name, picker.summary) for picker in PICKERS.values()]
    pickers = listing("--picker", "takes", rows)
    kernels = listing("--kernel", "of the method ntk", kernel_summaries())
    flags = ("warmup", "shortlist", "picker")
    defaults = [f"--{flag}: {_defaults(flag)}" for flag in flags]
    return Group("", methods, "", pickers, "", kernels, "", "Defaults:", *defaults)


def _defaults(name: str) -> str:
    """A setting's default by method, the commonest last: `pool (less), else none`."""
    methods: dict[str, list[str]] = {}
    for method in METHODS.values():
        methods.setdefault(getattr(method, name), []).append(method.name)
    *others, (common, _) = sorted(methods.items(), key=lambda item: len(item[1]))
    parts = [f"{value} ({', '.join(names)})" for value, names in others]
    return ", ".join([*parts, f"else {common}"])
