"""Prints what `ntkjax merge` brought together, and what was chosen."""

from pathlib import Path

from rich.console import Console

from ntkjax.commands.merge.run import run_merge
from ntkjax.commands.merge.settings import MergeSettings
from ntkjax.commands.merge.stages import Merged
from ntkjax.commands.select.show import print_selection


_ROUNDS = """
A job does its part of a pass, and ends where it needs the parts of others:

  ntkjax select ... --shard 1/2 --out run1    (and 2/2 with --out run2, elsewhere)
  ntkjax merge run1 run2 --out run

Where a further pass is missing, merge says so. Run the jobs again, each with
--stages run/stages (on another disk: copy run/stages into run1 and run2 instead),
and merge again, until it ends with the result. The shortlist of ntk is such a case:
embeddings first, kernel scores in the second round. Or let one machine do what is
missing: the same select without --shard and with --out run.

Relative paths of models and data count from the folder in which the jobs were
started; start merge in one that has the same files."""


def choices() -> str:
    """How jobs and merges take turns, for `--help`."""
    return _ROUNDS


def merge(settings: MergeSettings) -> int:
    """Merges; prints counts, the summary of the selection and where its files are."""
    run = run_merge(settings)
    if run.merged is not None:
        line = merged_line(run.merged, settings.runs)
        Console().print(line, markup=False, highlight=False, soft_wrap=True)
    print_selection(run.selection, settings.out)
    return 0


def merged_line(merged: Merged, runs: tuple[Path, ...]) -> str:
    """How many shards of how many runs there are, and how many were damaged."""
    line = f"merged: {merged.num_shards} shards of {len(runs)} runs"
    if merged.damaged:
        left_out = ", ".join(map(str, merged.damaged))
        line += f"; {len(merged.damaged)} damaged left out ({left_out})"
    return line + "\n"
